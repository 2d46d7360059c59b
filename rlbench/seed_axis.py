"""Which parts of an agent's state belong to its seeds: seen by comparing two numbers of seeds, and not by sizes alone.

Seeds are picked out of a state, joined and merged. A tensor that is as long as there are seeds may be long for another
reason, and so may a list. Before a run begins, `axes_of` looks at what grows with the number of seeds and where, and
refuses by its name what has no axis of theirs; what it found goes along with the state, into its checkpoints.
"""

from typing import Any

from torch import Tensor

SEEDS, SHARED = "seeds", "shared"

# Of each leaf SEEDS (a leading axis, or a list with an entry for each), SHARED, or None where it is not known; dicts
# and lists of what has parts of its own. Plain data, which a checkpoint can hold.
Axes = Any


class Shared:
    """A value in an agent's `state_dict` that belongs to all seeds: ``{"mean": rlbench.Shared(self.mean)}``.

    It comes back to `load_state_dict` as it was given: ``self.mean.copy_(state["mean"].value)``. Where the others go on
    without some of the seeds, or with others beside them, they take all of it along. Numbers and texts need no such
    word, nor do tensors without any axis.

    Args:
        value: a tensor, or whatever else a state may hold. Nothing in it has an axis of the seeds.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Shared({self.value!r})"


class AxisError(ValueError):
    """A part of a state has no axis of the seeds where it should; the text names it, and says what to do."""


def axes_of(state: Any, other: Any, counts: tuple[int, int], where: str = "state_dict()") -> Axes:
    """What belongs to the seeds in the state of an agent.

    Args:
        state: of ``counts[0]`` seeds.
        other: of ``counts[1]`` seeds, which are more, or fewer; the agent is otherwise the same.
        counts: two different numbers.
        where: what the state is called in errors.

    Raises:
        AxisError: a tensor has an axis and none for the seeds, and is not `Shared`; or it has one in another place; or
            the seeds are told apart in another way, as by keys.
    """
    if isinstance(state, Shared):
        if isinstance(other, Shared) and not _alike(state.value, other.value):
            raise AxisError(
                f"{where} is Shared, but looks otherwise for {_named(counts)}: what is theirs is not Shared."
            )
        return SHARED
    if isinstance(state, dict):
        if not isinstance(other, dict):
            return None
        if odd := sorted(map(repr, state.keys() ^ other.keys())):
            raise AxisError(
                f"{where} has other keys for {_named(counts)} ({', '.join(odd[:3])}): give what belongs to the seeds a "
                "leading axis, or put it into a list with one entry for each."
            )
        return {key: axes_of(value, other[key], counts, f"{where}[{key!r}]") for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return _axes_of_list(state, other, counts, where)
    if isinstance(state, Tensor):
        return _axis_of(state, other, counts, where)
    return None if state is None else SHARED


def _axes_of_list(state: Any, other: Any, counts: tuple[int, int], where: str) -> Axes:
    if not isinstance(other, (list, tuple)):
        return None
    lengths = len(state), len(other)
    if lengths == counts:
        return SEEDS
    if lengths[0] != lengths[1]:
        raise AxisError(
            f"{where} has {lengths[0]} and {lengths[1]} entries for {_named(counts)}: a list of what belongs to the "
            "seeds has one for each."
        )
    parts = [axes_of(*pair, counts, f"{where}[{i}]") for i, pair in enumerate(zip(state, other, strict=True))]
    return SHARED if parts and all(part == SHARED for part in parts) else parts or None


def _axis_of(state: Tensor, other: Any, counts: tuple[int, int], where: str) -> Axes:
    if not isinstance(other, Tensor):
        return None
    shape, beside = tuple(state.shape), tuple(other.shape)
    if shape == beside:
        if not shape:
            return SHARED
        if not state.numel():  # there is nothing in it yet
            return None
        raise AxisError(
            f"{where} of shape {shape} has no seed axis: it is the same for {_named(counts)}. Wrap it in "
            "rlbench.Shared(value) if it belongs to all seeds, else give it a leading axis of them."
        )
    if len(shape) == len(beside):
        odd = [i for i, sizes in enumerate(zip(shape, beside, strict=True)) if sizes[0] != sizes[1]]
        if len(odd) == 1 and (shape[odd[0]], beside[odd[0]]) == counts:
            if odd[0] == 0:
                return SEEDS
            raise AxisError(
                f"{where} of shape {shape} has its seed axis in place {odd[0]}, where it has to lead: save "
                f"x.movedim({odd[0]}, 0), and move it back in load_state_dict."
            )
    raise AxisError(
        f"{where} has the shapes {shape} and {beside} for {_named(counts)}: give it a leading axis of the seeds, and "
        "no other that depends on how many there are."
    )


def late(state: Any, axes: Axes, num_seeds: int, where: str = "state_dict()") -> list[str]:
    """Tensors that came into being after `axes_of` looked, and have no row for each seed; each with its shape.

    Args:
        state: of ``num_seeds`` seeds.
        axes: what it found before.
        num_seeds: S.
        where: what the state is called.
    """
    if isinstance(state, dict):
        parts = [(f"{where}[{key!r}]", value, part_of(axes, key)) for key, value in state.items()]
    elif isinstance(state, (list, tuple)) and isinstance(axes, list) and len(state) == len(axes):
        parts = [(f"{where}[{i}]", value, axes[i]) for i, value in enumerate(state)]
    elif isinstance(state, Tensor) and axes is None and state.dim() and state.numel() and len(state) != num_seeds:
        return [f"{where} of shape {tuple(state.shape)}"]
    else:
        return []
    return [found for name, value, part in parts for found in late(value, part, num_seeds, name)]


def part_of(axes: Axes, key: Any) -> Axes:
    """Those of one entry of a dict or a list; None where nothing is known of it."""
    if isinstance(axes, dict):
        return axes.get(key)
    return axes[key] if isinstance(axes, list) and key < len(axes) else None


def kind_of(value: Any, axes: Axes, num_seeds: int) -> Axes:
    """SEEDS or SHARED of a leaf, or the axes of the parts of a list. By its size, where nothing is known of it."""
    if isinstance(value, (list, tuple)):
        if isinstance(axes, list) and len(axes) == len(value):
            return axes
        as_long = len(value) == num_seeds
    else:
        as_long = isinstance(value, Tensor) and value.dim() > 0 and value.shape[0] == num_seeds
    return SEEDS if as_long and axes != SHARED else SHARED


def _alike(a: Any, b: Any) -> bool:
    """Whether two values have the same shapes throughout."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_alike, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(value, b[key]) for key, value in a.items())
    return True


def _named(counts: tuple[int, int]) -> str:
    return " and for ".join("one seed" if n == 1 else f"{n} seeds" for n in counts)
