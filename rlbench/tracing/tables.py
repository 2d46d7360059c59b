"""An agent whose ``act`` is no operations on tensors, over numbered observations: the table of all its answers.

Agents with tables of NumPy's are such, and others may be. What comes of it is one look-up in a graph.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import AgentError
from ..policyfile.leaves import leaves
from ..policyfile.metadata import Discrete, Port
from ..trained.explain import AXES
from .encode import Decoder
from .live import ByPort, LivePolicy
from .policy import Contract
from .votes import Vote

MOST = 100_000  # observations that an agent is asked about
AT_ONCE = 1000
ILLEGAL = torch.finfo(torch.float32).min


class TableModule(nn.Module):
    """As `policy.PolicyModule`, of what the live agent answers to every observation.

    Under a mask it takes the legal action of the highest of the ``q_values`` that the agent shows.

    Args:
        live: the agent.
        agreed: the contract; one numbered observation.

    Attributes:
        count: observations that there are.

    Raises:
        AgentError: there are too many observations; or there is a mask, and the agent shows no Q-values.
    """

    chosen: Tensor

    def __init__(self, live: LivePolicy, agreed: Contract) -> None:
        super().__init__()
        ((name, leaf),) = leaves(agreed.obs)
        assert isinstance(leaf, Discrete)
        if leaf.n > MOST:
            raise AgentError(f"there are {leaf.n:,} observations, and a table is made of {MOST:,} at most")
        self.count = leaf.n
        self.inputs, self.decoder, self.encoder = agreed.inputs, Decoder(agreed.codec), agreed.encoder
        self.masked = any(port.role == "mask" for port in agreed.inputs)
        self.vote = Vote(agreed.codec, live.best)
        asked = np.arange(leaf.start, leaf.start + leaf.n).astype(leaf.dtype)
        answers = [live(_taken(name, asked[i : i + AT_ONCE], agreed)) for i in range(0, leaf.n, AT_ONCE)]
        shown = [name for name in AXES if name in answers[0].of_seeds]
        if self.masked and "q_values" not in shown:
            raise AgentError("the environment says an action_mask, and explain gives no q_values to choose by under it")
        self.register_buffer("chosen", torch.from_numpy(np.concatenate([a.chosen for a in answers], 1)))  # (S, n, ...)
        for name in shown:
            whole = torch.from_numpy(np.concatenate([a.of_seeds[name] for a in answers], 1))
            self.register_buffer(f"of_{name}", whole)  # (S, n, ...)
        self.shown = shown

    def begin(self, batch: int) -> None:
        """Nothing is remembered."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        index = self.encoder(inputs[:1])  # (B,)
        shown = [getattr(self, f"of_{name}")[:, index] for name in self.shown]  # (S, B, ...) each
        if self.masked:
            legal = inputs[1].unsqueeze(0)  # (1, B, A)
            q = shown[self.shown.index("q_values")]
            chosen = q.masked_fill(~legal, ILLEGAL).argmax(-1)
            shown[self.shown.index("q_values")] = q.masked_fill(~legal, -torch.inf)
        else:
            chosen = self.chosen[:, index]
        action = chosen[0] if len(chosen) == 1 else self.vote(chosen)
        return self.decoder(action), *(x[0] if len(x) == 1 else x.mean(0) for x in shown)

    def outputs(self, examples: Sequence[Tensor]) -> list[Port]:
        """As of `policy.PolicyModule`."""
        with torch.no_grad():
            made = self(*examples)
        names = [("action", "action"), *((name, "shown") for name in self.shown)]
        return [
            Port(name=name, role=role, shape=tuple(x.shape[1:]), dtype=str(x.dtype).removeprefix("torch."))
            for (name, role), x in zip(names, made, strict=True)
        ]


def _taken(name: str, asked: np.ndarray, agreed: Contract) -> ByPort:
    masks = {port.name: np.ones((len(asked), *port.shape), bool) for port in agreed.inputs if port.role == "mask"}
    return {name: asked, **masks}


def is_numbered(agreed: Contract) -> bool:
    """Whether an observation is one number of a Discrete space."""
    found = [leaf for _, leaf in leaves(agreed.obs)]
    return len(found) == 1 and isinstance(found[0], Discrete) and agreed.encoder.dtype == np.int64
