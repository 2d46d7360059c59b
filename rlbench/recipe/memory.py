"""Room for a run: how much memory and disk it will need, and how much there is. Said at the start, not when it is gone.

A replay buffer takes its memory bit by bit, while it fills: nothing fails until a run has gone on for hours. What an
agent will need is read off the agent itself once it is built: its `state_dict`, and its ``replay``, whose ``nbytes``
and ``capacity`` say how large it becomes. Environments, whose memory nobody knows beforehand, are not counted.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from ..agent import Agent
from ..errors import NoMemory, RlbenchError, UsageError, first_line
from ..process.resources import GIB, free_disk, free_memory
from ..rng import Streams
from ..units import byte_size
from .held import held, tensors
from .recipe import Recipe

CONSIDERABLE = GIB  # bytes of memory that are worth a word, or a tenth of what is free
LARGE_FILES = 200 * 2**20  # bytes on the disk, likewise
SHARE = 0.95  # of what is free; the rest is for what is not counted
ON_CARD = 1.5  # times its state, at least: gradients, and what lies between one layer and the next
COPIES = 3  # of the weights in memory: the agent's, the best ones, and those that are being saved


class NoRoom(UsageError):
    """A run needs more than there is. ``what`` says how much, without what would fit."""

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(f"{what} {instead}")
        self.what = what


class Need(NamedTuple):
    """Bytes, of all seeds together, once the replay buffers are as full as they get."""

    seeds: int
    replay: int
    weights: int  # of everything else that the agent keeps, optimisers among it
    host: int  # of those, what lies in the host's memory and not on a device
    capacity: int = 0  # transitions of a seed that ``replay`` is the size of; 0: none, or nobody knows
    there: int = 0  # of ``replay``, what lies in a card's memory

    @property
    def memory(self) -> int:
        return self.replay - self.there + COPIES * self.host

    def disk(self, keep: int) -> int:
        """With ``keep`` pairs of checkpoint and buffer, one more while it is written, and the best weights."""
        return (keep + 1) * (self.weights + self.replay) + self.weights


def need_of(agent: Agent, built: int, seeds: int, total_steps: int) -> Need:
    """What training takes.

    Args:
        agent: just built.
        built: seeds that it was built for.
        seeds: seeds that are to be trained; they may be split over processes.
        total_steps: env steps of each: a buffer does not grow beyond them.
    """
    weights = host = 0
    try:
        state = agent.state_dict()
    except Exception:  # of an agent that has nothing to save before it has learned: it will say so when it is saved
        state = {}
    for nbytes, on_host in tensors(state):
        weights, host = weights + nbytes, host + nbytes * on_host
    replay, capacity = held(agent.replay), getattr(agent.replay, "capacity", 0)
    capacity = capacity if isinstance(capacity, int) else 0
    entries = min(capacity, total_steps) if total_steps else capacity
    filled = entries / capacity if capacity else 1.0
    each = seeds / built
    there = getattr(agent.replay, "device_nbytes", 0)
    there = int(filled * there * each) if isinstance(there, int) else 0
    return Need(seeds, int(filled * replay * each), int(weights * each), int(host * each), entries, there)


def check_memory(need: Need, recipe: Recipe, free: int | None = None) -> list[str]:
    """What to say about memory, if it is worth a word.

    Raises:
        NoRoom: there is not enough; says what would fit.
    """
    free = free_memory() if free is None else free
    if free is None:
        return []
    parts = f"replay buffers {byte_size(need.replay - need.there)}"
    parts += f", networks and what belongs to them {byte_size(COPIES * need.host)}" if need.host else ""
    if need.memory > free:
        seeds = f"{need.seeds} seeds need" if need.seeds > 1 else "one seed needs"
        what = f"{seeds} {byte_size(need.memory)} of memory ({parts}), and {byte_size(free)} are free here."
        raise NoRoom(what, _fits(need, recipe, free))
    if need.memory <= min(CONSIDERABLE, 0.1 * free):
        return []
    return [f"Memory: up to {byte_size(need.memory)} ({parts}); {byte_size(free)} are free."]


def check_disk(need: Need, recipe: Recipe, folder: Path, free: int | None = None) -> list[str]:
    """What to say about the disk, if it is worth a word.

    Raises:
        NoRoom: not even the newest checkpoint could be replaced there.
    """
    free = free_disk(folder) if free is None else free
    whole = need.disk(recipe.keep_checkpoints)
    if free is None or whole <= min(LARGE_FILES, 0.1 * free):
        return []
    parts = f"checkpoints {byte_size(need.weights)} each, replay buffers {byte_size(need.replay)}"
    if need.disk(1) > free:
        what = (
            f"the run folder needs {byte_size(need.disk(1))} ({parts}; the old ones stay until the new ones are "
            f"there), and {byte_size(free)} are free on the disk of {folder}."
        )
        raise NoRoom(what, _fits(need, recipe, free, disk=True))
    kept = f"{recipe.keep_checkpoints} kept" if recipe.keep_checkpoints > 1 else "one kept"
    line = f"Disk: the run folder takes up to {byte_size(whole)} ({parts}, {kept}); {byte_size(free)} are free."
    return [line if whole <= free else f"{line} Keep fewer: --set keep_checkpoints=1"]


def within_memory(
    made: Callable[[Sequence[int]], tuple[Agent, Streams]], seeds: Sequence[int], train: int, recipe: Recipe, wide: bool
) -> tuple[Agent, Streams, Need | None]:
    """An agent of all ``seeds``, if there is memory to train it, and what it needs.

    Args:
        made: builds it for some of the seeds.
        seeds: their numbers.
        train: seeds that are to be trained, as for `rlbench.recipe.build.build`; 0: none.
        recipe: of the run.
        wide: whether to look at one seed first, because all of them may be too much to be built at all.

    Raises:
        UsageError: there is not enough memory; says what would fit.
    """
    steps = recipe.total_steps
    if wide and train and len(seeds) > 1:
        check_memory(need_of(made(seeds[:1])[0], 1, train, steps), recipe)
    try:
        agent, streams = made(seeds)
    except (MemoryError, RuntimeError, RlbenchError) as e:
        buffer = _too_large_a_buffer(e)
        if buffer is None and not _out_of_memory(e):
            raise
        if buffer and buffer.on_card is not None:
            raise _buffer_beyond_card(buffer, len(seeds), recipe) from e
        if train and buffer:  # all of it, though it may never be full
            check_memory(Need(train, buffer.nbytes * train // len(seeds), 0, 0, buffer.capacity), recipe)
        elif train and len(seeds) > 1:
            alone = made(seeds[:1])[0]
            check_memory(need_of(alone, 1, train, steps), recipe)
            if isinstance(e, torch.OutOfMemoryError) or isinstance(e.__cause__, torch.OutOfMemoryError):
                raise _card_is_full(need_of(alone, 1, len(seeds), steps), recipe) from e
        if isinstance(e, UsageError):
            raise
        raise UsageError(f"{recipe.agent} cannot be built: there is not enough memory: {first_line(e)}") from e
    return agent, streams, need_of(agent, len(seeds), train, steps) if train else None


def _buffer_beyond_card(buffer: NoMemory, seeds: int, recipe: Recipe) -> NoRoom:
    """What to say where a buffer was to lie in a card's memory and does not fit there."""
    free, each = buffer.on_card or 0, buffer.nbytes / seeds
    what = (
        f'replay = "{recipe.replay}": the replay buffer of {seeds} seeds needs {byte_size(buffer.nbytes)} of '
        f"the card's memory, and {byte_size(free)} of it are free."
    )
    choices = [f"--seeds {fits}"] if 0 < (fits := int(SHARE * free / each)) < seeds else []
    capacity = rounded_down(SHARE * free / buffer.nbytes * buffer.capacity)
    if "capacity" in recipe.hyper and recipe.num_envs < capacity < buffer.capacity:
        choices.append(f"--set {recipe.agent.rpartition(':')[2]}.capacity={capacity}")
    return NoRoom(what, f"What fits: {', or '.join([*choices, '--set replay=host'])}.")


def _card_is_full(need: Need, recipe: Recipe) -> NoRoom:
    """What to say where the agent of all seeds did not fit onto the card."""
    torch.cuda.empty_cache()  # of what was built in vain
    free, card = torch.cuda.mem_get_info()[0], ON_CARD * (need.weights - need.host)
    least, there = byte_size(card), byte_size(free)
    what = f"{need.seeds} seeds need {least} or more of the card's memory, and {there} of it are free."
    fits = int(need.seeds * SHARE * free / max(card, 1))
    return NoRoom(what, f"What fits: --seeds {fits}, or --device cpu." if fits else "What fits: --device cpu.")


def _too_large_a_buffer(e: BaseException | None) -> NoMemory | None:
    while e is not None and not isinstance(e, NoMemory):
        e = e.__cause__
    return e


def _out_of_memory(e: BaseException | None) -> bool:
    """Whether that is what is behind an error; torch says so in a RuntimeError's text."""
    while e is not None:
        text = str(e).lower()
        if isinstance(e, MemoryError) or (isinstance(e, RuntimeError) and ("allocate" in text or "out of mem" in text)):
            return True
        e = e.__cause__
    return False


def _fits(need: Need, recipe: Recipe, free: int, *, disk: bool = False) -> str:
    """What to ask for instead."""

    def used(seeds: int, share: float) -> float:
        sizes = (need.replay * share, need.weights, need.host, need.there * share)
        replay, weights, host, there = (int(x * seeds / need.seeds) for x in sizes)
        part = Need(seeds, replay, weights, host, 0, there)
        return part.disk(1) if disk else part.memory

    room = SHARE * free
    choices = []
    seeds = int(need.seeds * room / used(need.seeds, 1.0))
    if seeds:
        choices.append(f"--seeds {seeds}")
    if need.capacity and "capacity" in recipe.hyper and (spare := room - used(need.seeds, 0.0)) > 0:
        capacity = rounded_down(need.capacity * spare / (used(need.seeds, 1.0) - used(need.seeds, 0.0)))
        if capacity > recipe.num_envs:
            table = recipe.agent.rpartition(":")[2]
            choices.append(f"--set {table}.capacity={capacity}")
    return f"What fits: {', or '.join(choices)}." if choices else "No such run fits: its observations are too large."


def rounded_down(x: float) -> int:
    """To two digits."""
    step = 10 ** max(len(str(int(x))) - 2, 0)
    return int(x) // step * step
