"""What updates said since they were last written down: the mean of every number, for each seed."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

# Updates whose numbers are put aside before they are added up: an operation on many costs as much as on one.
CHUNK = 256


class Learned:
    """Means of the metrics of updates. Sums are of the order of the updates, so that when they are looked at, saved, or
    computed beside other seeds changes no bit of them.

    Args:
        lasting: whether nobody writes to the tensors that come, so that they need not be copied one by one.
    """

    def __init__(self, *, lasting: bool = False) -> None:
        self._lasting = lasting
        self._names: tuple[str, ...] = ()
        self._aside: list[tuple[Tensor, ...]] = []  # of these names, (S,) each; or copies in one, (M, S)
        self._sums: dict[str, tuple[Tensor, Tensor]] = {}  # (S,) float64, and of how many
        self._infinite: dict[str, Tensor] = {}  # (S,) bool

    def __bool__(self) -> bool:
        return bool(self._aside or self._sums)

    def add(self, metrics: Any) -> None:
        """Take in what an update gave. What has another form than it should is passed over; others complain of it."""
        try:
            values = tuple(metrics.values())
            if not self._lasting:  # an agent may give the same tensors every time
                copied = torch.stack(values)
                values = (copied.detach() if copied.requires_grad else copied,)
        except (AttributeError, TypeError, RuntimeError):
            return
        names = tuple(metrics)
        if names != self._names or len(self._aside) == CHUNK:
            self._add_up()
            self._names = names
        self._aside.append(values)

    def means(self) -> dict[str, Tensor]:
        """Of every name, (S,); NaN for a seed that had no number."""
        self._add_up()
        return {name: sums / counts for name, (sums, counts) in self._sums.items()}

    def infinite(self) -> dict[str, Tensor]:
        """Names of what was infinite, (S,): for which seeds, in any update so far, also one that is written down."""
        self._add_up()
        return dict(self._infinite)

    def clear(self) -> None:
        """They have been written down."""
        self._aside, self._sums = [], {}

    def state_dict(self) -> dict[str, Any]:
        self._add_up()
        return {name: [x.clone() for x in pair] for name, pair in self._sums.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.clear()
        self._infinite = {}  # what the sums hold of them is found with the next update
        self._sums = {name: (sums.clone(), counts.clone()) for name, (sums, counts) in state.items()}

    def _add_up(self) -> None:
        aside, self._aside = self._aside, []
        if not aside:
            return
        if len({part.shape for values in aside for part in values}) > 1 or aside[0][0].dim() != 2 - self._lasting:
            return
        joined = torch.stack([part for values in aside for part in values])  # in one go, and one way from a device
        values = joined.view(len(aside), len(self._names), -1).cpu().double().numpy()  # (n, M, S)
        known = ~np.isnan(values)
        counts = known.sum(0)  # (M, S)
        so_far = np.zeros_like(values[:1])  # (1, M, S)
        for m, name in enumerate(self._names):
            pair = self._sums.get(name)
            if pair is not None and pair[0].shape == so_far[0, m].shape:
                so_far[0, m], counts[m] = pair[0].numpy(), counts[m] + pair[1].numpy()
        # One after the other, as cumsum adds: the order of a sum is part of its bits, and sum has its own.
        with np.errstate(invalid="ignore", over="ignore"):  # an infinity may meet another
            sums = torch.from_numpy(np.concatenate((so_far, np.where(known, values, 0.0))).cumsum(0)[-1])
        for m, (name, count) in enumerate(zip(self._names, torch.from_numpy(counts), strict=True)):
            self._sums[name] = sums[m], count
        wild = ~sums.isfinite()  # NaN is left out, so that an infinity made it so; of both signs they sum to NaN
        for m in wild.any(1).nonzero().flatten().tolist():
            before = self._infinite.get(self._names[m])
            self._infinite[self._names[m]] = wild[m] if before is None else wild[m] | before
