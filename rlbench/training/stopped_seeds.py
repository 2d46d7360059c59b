"""Seeds that have stopped are left out of the agent, which is built anew for the others: they cost nothing any more.

Stands between a run and its agent. `narrow` builds the agent anew for the seeds that still train and hands it what
these seeds have learned; `Narrowed` stands in its place towards the run, its environments and its record, for which
the S axis stays as long as it was. Where a seed's numbers do not depend on how many train beside it, as they do not on
a CPU with one thread, no bit of the others changes.

What a seed held when it stopped, its weights and its part of the buffer, is kept, and is where it was in what
`Narrowed.state_dict` gives: checkpoints are those of all seeds, and a run that is resumed from one narrows again.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..acting import choose, explained
from ..agent import Agent, Saveable
from ..agent_state import nbytes, same, split, widen
from ..errors import NoMemory, first_line
from ..process.resources import free_memory
from ..replay.packing import Packed
from ..rng import Streams
from ..types import NO_EXTRAS, Extras, Transition
from ..units import byte_size
from .underway import Underway

SHARE = 0.25  # of the memory that is free, at most, may be taken while buffers are carried over

Made = Callable[[Sequence[int]], tuple[Agent, Streams]]


def leave_out(run: Underway) -> None:
    """Let the agent of ``run`` compute only the seeds that still train, at least one.

    An agent whose state cannot be taken apart goes on with all of them, and so does one whose buffers take more than a
    quarter of the memory that is free; a note says why, once.
    """
    run.to_narrow = False
    if run.undivided:
        return
    seeds, parts = run.recipe.seed_numbers, run.parts
    try:
        agent, streams = narrow(parts.agent, parts.made, parts.streams, seeds, run.state.training)
    except Exception as e:  # the agent's own code may raise anything; it has trained so far, and can go on
        run.undivided = True
        why = first_line(e).rstrip(".")
        run.watcher.remark(f"seeds that have stopped are still computed beside the others, which costs time: {why}.")
    else:
        run.parts = parts._replace(agent=agent, streams=streams)


def all_seeds(agent: Agent, made: Made, streams: Streams, seeds: Sequence[int]) -> Agent:
    """The agent that computes all of ``seeds``, to act and not to train: ``agent`` itself, or one that knows as much.

    Args:
        agent: of all seeds, or narrowed; left as it is.
        made: builds an agent, and its streams, for some of the seed numbers.
        streams: those that ``agent`` draws from.
        seeds: the S seed numbers.
    """
    if not isinstance(agent, Narrowed):
        return agent
    whole, drawn = made(seeds)
    whole.load_state_dict(agent.state_dict())
    drawn.load_state_dict(streams.state_dict())
    return whole


def narrow(
    agent: Agent, made: Made, streams: Streams, seeds: Sequence[int], keep: Sequence[int]
) -> tuple[Agent, Streams]:
    """An agent that goes on exactly where ``agent`` stands, and computes only some of the seeds.

    While it is made, what both agents hold is in memory twice; afterwards nothing is, once ``agent`` is let go of. A
    `Narrowed` agent is narrowed from what it stands for: none is ever put around another.

    Args:
        agent: of all seeds, or narrowed before. It is left as it was.
        made: builds an agent, and its streams, for some of the seed numbers.
        streams: those that ``agent`` draws from.
        seeds: the S seed numbers.
        keep: positions of those that go on; fewer than S, and at least one, in ascending order.

    Returns:
        The agent, and the streams that it draws from, which stand where ``streams`` does.

    Raises:
        NoMemory: the buffers are too large to be there twice.
        Exception: whatever an agent raises whose state cannot be taken apart, or that is not the same once it was.
    """
    replay: Any = agent.replay
    held = None if replay is None else replay.state_dict()
    need, free = nbytes(held), free_memory()
    if free is not None and need > SHARE * free:
        text = f"the buffers are too large to be copied: {byte_size(need)}, with {byte_size(free)} free"
        raise NoMemory(text, need, 0)
    inner, drawn = made([seeds[s] for s in keep])
    total = len(seeds)
    state, left = split(agent.state_dict(), inner.state_dict(), keep, total)
    inner.load_state_dict(state)
    if not same(inner.state_dict(), state):
        raise ValueError("load_state_dict does not give back what state_dict gave")
    left_replay: Any = None
    if inner.replay is not None:
        rows, left_replay = split(held, inner.replay.state_dict(), keep, total)
        inner.replay.load_state_dict(rows)
        if not same(inner.replay.state_dict(), rows):
            raise ValueError("its replay's load_state_dict does not give back what state_dict gave")
    drawn.load_state_dict(streams.state_dict())  # last: what is built or loaded may have drawn
    return Narrowed(inner, keep, total, left, left_replay), drawn


class Narrowed(Agent):
    """Stands for S seeds, of which ``inner`` computes R. The others act with zeros, and their numbers are NaN.

    Args:
        inner: the agent of R seeds.
        keep: (R,) their positions on the S axis.
        num_seeds: S.
        left: what the others held of the agent's state, as `agent_state.split` gives it.
        left_replay: likewise of its buffer.
    """

    def __init__(self, inner: Agent, keep: Sequence[int], num_seeds: int, left: Any, left_replay: Any) -> None:
        self.inner, self.keep, self.num_seeds = inner, list(keep), num_seeds
        self.nan_is_silence = inner.nan_is_silence
        self._whole = _Wide(inner, self.keep, num_seeds, left)
        self._index: dict[torch.device, Tensor] = {}
        if inner.replay is not None:
            self.replay = _Wide(inner.replay, self.keep, num_seeds, left_replay)

    @property
    def updates(self) -> int:  # type: ignore[override]
        return self.inner.updates

    def begin(self, started: Tensor, *, explore: bool) -> None:
        self.inner.begin(self._rows(started), explore=explore)

    def act(self, obs: Tensor, *, explore: bool, extras: Extras = NO_EXTRAS) -> Tensor | tuple[Tensor, Extras]:
        action, said = choose(self.inner, self._rows(obs), self._each(extras), explore=explore)
        whole: Tensor = self._placed(action, 0)
        return (whole, {name: self._placed(rows, 0) for name, rows in said.items()}) if said else whole

    def observe(self, transition: Transition) -> None:
        leaves = [self._rows(leaf) for leaf in transition]
        if not isinstance(transition, Packed) or transition.row is None:
            extras, next_extras = self._each(transition.extras), self._each(transition.next_extras)
            self.inner.observe(Transition(*leaves, extras=extras, next_extras=next_extras))
            return
        packed = Packed(*leaves)
        packed.row, packed.extras = transition.row[self.keep], self._each(transition.extras)
        packed.there = None if transition.there is None else self._rows(transition.there)
        self.inner.observe(packed)

    def update(self) -> dict[str, Tensor]:
        return self._all_placed(self.inner.update())

    def diagnostics(self) -> dict[str, Tensor]:
        return self._all_placed(self.inner.diagnostics())

    def explain(self, obs: Tensor, extras: Extras = NO_EXTRAS) -> dict[str, Tensor]:
        return self._all_placed(explained(self.inner, self._rows(obs), self._each(extras)))

    def cut(self, where: Tensor) -> None:
        self.inner.cut(self._rows(where))

    def state_dict(self) -> dict[str, Any]:
        return self._whole.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._whole.load_state_dict(state)

    def _at(self, device: torch.device) -> Tensor:
        if device not in self._index:
            self._index[device] = torch.tensor(self.keep, device=device)
        return self._index[device]

    def _rows(self, leaf: Tensor) -> Tensor:
        """(R, ...) out of (S, ...)."""
        return leaf.index_select(0, self._at(leaf.device))

    def _each(self, named: Extras) -> Extras:
        return {name: self._rows(leaf) for name, leaf in named.items()} if named else NO_EXTRAS

    def _placed(self, rows: Any, others: float) -> Any:
        """(S, ...) from (R, ...), with ``others`` for the seeds that have stopped. What is no such tensor stays as it
        is, for those to complain about it who would have without this class."""
        if not isinstance(rows, Tensor) or rows.dim() == 0 or rows.shape[0] != len(self.keep):
            return rows
        rows = rows.detach()
        if others != others and not rows.is_floating_point():
            rows = rows.double()
        whole = rows.new_full((self.num_seeds, *rows.shape[1:]), others)
        return whole.index_copy_(0, self._at(rows.device), rows)

    def _all_placed(self, named: Any) -> Any:
        if not isinstance(named, dict):
            return named
        return {name: self._placed(rows, float("nan")) for name, rows in named.items()}


class _Wide:
    """The state of S seeds, an agent's or a buffer's, of which what ``inner`` holds, that of R seeds, is a part.

    Args:
        inner: of R seeds.
        keep: (R,) their positions on the S axis.
        num_seeds: S.
        left: what the others held, as `agent_state.split` gives it.
    """

    def __init__(self, inner: Saveable, keep: Sequence[int], num_seeds: int, left: Any) -> None:
        self.inner, self.keep, self.num_seeds, self._left = inner, keep, num_seeds, left

    def state_dict(self) -> dict[str, Any]:
        """Seeds that have stopped hold what they held then, and zeros where the others' buffers have grown since."""
        state: dict[str, Any] = widen(self.inner.state_dict(), self._left, self.keep, self.num_seeds)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        rows, self._left = split(state, self.inner.state_dict(), self.keep, self.num_seeds)
        self.inner.load_state_dict(rows)
