"""Nested states, as `Agent.state_dict` gives them: copying, and picking seeds out of them.

Which leaves belong to the seeds, tensors with a leading S axis and lists of length S, is known where `seed_axis` has
compared states; where it has not, as in files of earlier versions, it is seen by their sizes. All else is shared.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .seed_axis import SEEDS, Axes, Shared, kind_of, part_of


def snapshot(state: Any) -> Any:
    """A deep copy on the CPU: what was live stays as it was now."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: snapshot(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return [snapshot(value) for value in state]
    return Shared(snapshot(state.value)) if isinstance(state, Shared) else state


class UnlikeError(ValueError):
    """Two states of one agent differ in shape; the text says where."""


def merge(new: Any, old: Any, mask: list[bool], axes: Axes = None, where: str = "") -> Any:
    """``new`` where ``mask`` (length S) is True, else ``old``; shared leaves are ``new``'s. Both are snapshots.

    Raises:
        UnlikeError: what belongs to the seeds has another shape in one than in the other.
    """
    if isinstance(new, dict):
        known = old if isinstance(old, dict) else {}
        return {
            key: merge(value, known[key], mask, part_of(axes, key), f"{where}.{key}" if where else str(key))
            if key in known
            else value
            for key, value in new.items()
        }
    kind = kind_of(new, axes, len(mask))
    if isinstance(kind, list):
        if not isinstance(old, list) or len(old) != len(new):
            return new
        pairs = enumerate(zip(new, old, kind, strict=True))
        return [merge(n, o, mask, part, f"{where}.{i}" if where else str(i)) for i, (n, o, part) in pairs]
    if kind != SEEDS:
        return new
    if isinstance(new, Tensor):
        if not isinstance(old, Tensor) or old.shape != new.shape:
            before = f"the shape {tuple(old.shape)}" if isinstance(old, Tensor) else f"a {type(old).__name__}"
            raise UnlikeError(f"{where!r} has the shape {tuple(new.shape)}, and had {before} earlier in the run")
        rows = torch.tensor(mask).view(-1, *[1] * (new.dim() - 1))
        return torch.where(rows, new, old)
    if not isinstance(old, list) or len(old) != len(mask):
        raise UnlikeError(f"{where!r} is a list of {len(new)}, and was none earlier in the run")
    return [n if on else o for n, o, on in zip(new, old, mask, strict=True)]


def join(states: list[Any], counts: list[int], axes: Axes = None) -> Any:
    """The state of all seeds from those of groups of ``counts`` seeds; shared leaves are the first group's."""
    first = states[0]
    if isinstance(first, dict):
        return {key: join([state[key] for state in states], counts, part_of(axes, key)) for key in first}
    kinds = [kind_of(state, axes, n) for state, n in zip(states, counts, strict=True)]
    if isinstance(kinds[0], list) and all(isinstance(kind, list) for kind in kinds):
        return [join(list(parts), counts, part) for *parts, part in zip(*states, kinds[0], strict=True)]
    if any(kind != SEEDS for kind in kinds):
        return first
    return torch.cat(states) if isinstance(first, Tensor) else [value for state in states for value in state]


def pick(state: Any, seed: int, num_seeds: int, axes: Axes = None) -> Any:
    """The state of the learner at position ``seed`` alone, with S = 1."""
    if isinstance(state, dict):
        return {key: pick(value, seed, num_seeds, part_of(axes, key)) for key, value in state.items()}
    kind = kind_of(state, axes, num_seeds)
    if isinstance(kind, list):
        return [pick(value, seed, num_seeds, part) for value, part in zip(state, kind, strict=True)]
    if kind != SEEDS:
        return state
    return state[seed : seed + 1].clone() if isinstance(state, Tensor) else [state[seed]]


class Rest(NamedTuple):
    """Of one leaf, what belongs to the seeds that `split` left out; shared leaves have none."""

    value: Any


def split(state: Any, like: Any, keep: Sequence[int], num_seeds: int) -> tuple[Any, Any]:
    """The state of the learners at positions ``keep``, and what the others held, for `widen` to put back.

    Which leaves belong to the seeds is seen from ``like``: there they are as long as ``keep``. What it does not have,
    such as an optimiser's numbers before its first step, belongs to them where it is ``num_seeds`` long.

    Args:
        state: of ``num_seeds`` learners.
        like: of as many as ``keep`` has, in a state of any content.
        keep: fewer than ``num_seeds``.
        num_seeds: S.

    Returns:
        Both may share memory with ``state``, but for what is a tensor; what the others held is a snapshot.

    Raises:
        ValueError: a leaf is neither shared by the seeds nor has a row for each of them.
    """
    if isinstance(state, dict):
        known = like if isinstance(like, dict) else {}
        parts = {key: split(value, known.get(key), keep, num_seeds) for key, value in state.items()}
        return {key: part[0] for key, part in parts.items()}, {key: part[1] for key, part in parts.items()}
    if state is None:  # what it will hold one day may have a row for each seed
        return None, Rest(None)
    if _parted(state) and isinstance(like, (list, tuple)) and len(state) == len(like):
        pairs = [split(value, other, keep, num_seeds) for value, other in zip(state, like, strict=True)]
        return [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    if not _of_seeds(state, like, len(keep), num_seeds):
        return state, None
    others = _others(keep, num_seeds)
    if isinstance(state, Tensor):
        return state.detach()[list(keep)], Rest(state.detach()[others].cpu())
    return [state[s] for s in keep], Rest([snapshot(state[s]) for s in others])


def _parted(state: Any) -> bool:
    """Whether it is a list of more than numbers and texts."""
    return isinstance(state, (list, tuple)) and any(isinstance(x, (Tensor, dict, list, tuple)) for x in state)


def _of_seeds(state: Any, like: Any, few: int, num_seeds: int) -> bool:
    """Whether a leaf has a row for each seed, where ``like`` has ``few``.

    Raises:
        ValueError: it has not, and is not shared either.
    """
    if not isinstance(state, (Tensor, list)):
        return False
    long = len(state) if isinstance(state, list) or state.dim() else -1
    if long == num_seeds:
        if like is None:
            return True
        if isinstance(like, type(state)) and (isinstance(like, list) or like.dim()) and len(like) == few:
            return True
    if like is not None and not _same_form(state, like):
        raise ValueError(f"a part of its state, of length {long}, is neither shared nor has a row for each seed")
    return False


def _same_form(a: Any, b: Any) -> bool:
    """Whether two leaves are alike in everything but their numbers."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape == b.shape
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_same_form, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return all(key not in b or _same_form(value, b[key]) for key, value in a.items())
    return True


def widen(state: Any, rest: Any, keep: Sequence[int], num_seeds: int) -> Any:
    """The state of ``num_seeds`` learners from that of those at positions ``keep`` and the ``rest`` that `split` gave.

    Where a leaf of the learners in ``keep`` has grown since, or has come into being, the others have zeros.
    """
    if isinstance(state, dict):
        known = rest if isinstance(rest, dict) else {}
        new = Rest(None)
        return {key: widen(value, known.get(key, new), keep, num_seeds) for key, value in state.items()}
    if isinstance(rest, list) and isinstance(state, (list, tuple)) and len(rest) == len(state):
        return [widen(value, left, keep, num_seeds) for value, left in zip(state, rest, strict=True)]
    if not isinstance(rest, Rest):
        return state
    others = _others(keep, num_seeds)
    if isinstance(state, Tensor) and state.dim() and len(state) == len(keep):
        whole = state.new_zeros((num_seeds, *state.shape[1:]))
        whole[list(keep)] = state.detach()
        if isinstance(rest.value, Tensor):
            whole[others] = _fitted(rest.value, whole[others]).to(whole)
        return whole
    if isinstance(state, list) and len(state) == len(keep):
        values = [None] * num_seeds
        for s, value in zip(keep, state, strict=True):
            values[s] = value
        held = rest.value if isinstance(rest.value, list) else [_zeros(state[0])] * len(others)
        for s, value in zip(others, held, strict=True):
            values[s] = _fitted(value, state[0])
        return values
    return state


def _others(keep: Sequence[int], num_seeds: int) -> list[int]:
    return [s for s in range(num_seeds) if s not in keep]


def _fitted(value: Any, like: Any) -> Any:
    """``value`` in the shape of ``like``, with zeros where it is smaller."""
    if not (isinstance(value, Tensor) and isinstance(like, Tensor)):
        return value
    if value.shape == like.shape or value.dim() != like.dim():
        return value
    out = value.new_zeros(like.shape)
    common = tuple(slice(min(pair)) for pair in zip(value.shape, like.shape, strict=True))
    out[common] = value[common]
    return out


def _zeros(value: Any) -> Any:
    if isinstance(value, Tensor):
        return torch.zeros_like(value, device="cpu")
    if isinstance(value, dict):
        return {key: _zeros(inner) for key, inner in value.items()}
    return value


def same(a: Any, b: Any) -> bool:
    """Whether two states are equal to the last bit; numbers that are not finite equal themselves."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        a, b = a.detach().cpu(), b.detach().cpu()
        return a.shape == b.shape and (torch.equal(a, b) or bool(((a == b) | ((a != a) & (b != b))).all()))
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, Shared) and isinstance(b, Shared):
        return same(a.value, b.value)
    return bool(a == b or (a != a and b != b))


def nbytes(state: Any) -> int:
    """Bytes that the tensors of a state take."""
    if isinstance(state, Shared):
        return nbytes(state.value)
    if isinstance(state, Tensor):
        return state.nbytes
    if isinstance(state, dict):
        return sum(map(nbytes, state.values()))
    return sum(map(nbytes, state)) if isinstance(state, (list, tuple)) else 0
