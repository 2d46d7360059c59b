"""What a file is proved to do as the live agent does, and its user had better know all the same."""

from collections.abc import Iterator, Mapping

import numpy as np

from ..policyfile.leaves import leaves
from ..policyfile.metadata import Box, Space
from ..tracing.live import LivePolicy, rows
from .observed import ObsStream

ASKED = 256  # observations that NaN is looked for at


def cautions(live: LivePolicy, seen: ObsStream) -> Iterator[str]:
    """Sentences for whoever uses the file. ``live`` is at an episode's beginning afterwards.

    Args:
        live: the agent.
        seen: observations that the environment showed.
    """
    if count := int(outside(live.space, seen.inputs).sum()):
        yield (
            f"{count:,} of the {len(seen):,} observations of {seen.source} lie outside the space that "
            f"{live.trained.recipe.env} declares: /predict of `rlbench serve` refuses such. Clip them in the client, "
            "or declare the space wider."
        )
    asked = rows(seen.inputs, slice(ASKED))
    n = len(next(iter(asked.values())))
    live.begin(np.ones(n, bool))
    answer = live(asked)
    live.begin(np.ones(n, bool))
    for name, x in {"action": answer.action, **answer.shown}.items():
        if x.dtype.kind == "f" and (wrong := np.isnan(x.reshape(n, -1)).any(1).sum()):
            yield (
                f"{name} is NaN at {wrong:,} of {n:,} observations: the live agent gives that, and so does the file. "
                "A policy that did not diverge in training gives numbers."
            )


def outside(space: Space, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """(N,) bool: which observations lie beyond the bounds of a Box, ``inputs`` by the names of the leaves."""
    found = np.zeros(len(next(iter(inputs.values()))), bool)
    for name, leaf in leaves(space):
        if isinstance(leaf, Box):
            x = inputs[name].reshape(len(found), -1)
            for bound, beyond in ((leaf.low, np.less), (leaf.high, np.greater)):
                if bound is not None:  # NaN among them where there is none, which nothing is beyond
                    edge = np.broadcast_to(np.array(bound, np.float64), leaf.shape).ravel()
                    found |= beyond(x, edge).any(1)
    return found
