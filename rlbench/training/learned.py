"""What updates said since they were last written down: the mean of every number, for each seed."""

from typing import Any

import torch
from torch import Tensor

# Updates whose numbers are put aside before they are added up: an operation on many costs as much as on one.
CHUNK = 256


class Learned:
    """Means of the metrics of updates. Sums are of the order of the updates, so that when they are looked at, saved, or
    computed beside other seeds changes no bit of them."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._aside: list[Tensor] = []  # (M, S) each, of these names
        self._sums: dict[str, tuple[Tensor, Tensor]] = {}  # (S,) float64, and of how many
        self._infinite: dict[str, Tensor] = {}  # (S,) bool

    def __bool__(self) -> bool:
        return bool(self._aside or self._sums)

    def add(self, metrics: Any) -> None:
        """Take in what an update gave. What has another form than it should is passed over; others complain of it."""
        try:
            values = torch.stack(tuple(metrics.values()))  # a copy: an agent may give the same tensors every time
        except (AttributeError, TypeError, RuntimeError):
            return
        names = tuple(metrics)
        if names != self._names or len(self._aside) == CHUNK:
            self._add_up()
            self._names = names
        self._aside.append(values.detach() if values.requires_grad else values)

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
        shapes = {values.shape for values in aside}
        if len(shapes) > 1 or aside[0].dim() != 2:
            return
        values = torch.stack(aside).cpu().double()  # (n, M, S)
        known = ~values.isnan()
        counts = known.sum(0)  # (M, S)
        so_far = torch.zeros_like(values[:1])  # (1, M, S)
        for m, name in enumerate(self._names):
            pair = self._sums.get(name)
            if pair is not None and pair[0].shape == so_far[0, m].shape:
                so_far[0, m], counts[m] = pair[0], counts[m] + pair[1]
        # One after the other, as cumsum adds on a CPU: the order of a sum is part of its bits, and sum has its own.
        sums = torch.cat((so_far, torch.where(known, values, 0.0))).cumsum(0)[-1]
        for m, name in enumerate(self._names):
            self._sums[name] = sums[m], counts[m]
        wild = ~sums.isfinite()  # NaN is left out, so that an infinity made it so; of both signs they sum to NaN
        for m in wild.any(1).nonzero().flatten().tolist():
            before = self._infinite.get(self._names[m])
            self._infinite[self._names[m]] = wild[m] if before is None else wild[m] | before
