"""Nested states, as `Agent.state_dict` gives them: copying, and picking seeds out of them.

A leaf belongs to the seeds where it is a tensor with a leading S axis or a list of length S; all else is shared.
"""

from typing import Any

import torch
from torch import Tensor


def snapshot(state: Any) -> Any:
    """A deep copy on the CPU: what was live stays as it was now."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: snapshot(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return [snapshot(value) for value in state]
    return state


class UnlikeError(ValueError):
    """Two states of one agent differ in shape; the text says where."""


def merge(new: Any, old: Any, mask: list[bool], where: str = "") -> Any:
    """``new`` where ``mask`` (length S) is True, else ``old``; shared leaves are ``new``'s. Both are snapshots.

    Raises:
        UnlikeError: what belongs to the seeds has another shape in one than in the other.
    """
    if isinstance(new, Tensor) and new.dim() and new.shape[0] == len(mask):
        if not isinstance(old, Tensor) or old.shape != new.shape:
            before = f"the shape {tuple(old.shape)}" if isinstance(old, Tensor) else f"a {type(old).__name__}"
            raise UnlikeError(f"{where!r} has the shape {tuple(new.shape)}, and had {before} earlier in the run")
        rows = torch.tensor(mask).view(-1, *[1] * (new.dim() - 1))
        return torch.where(rows, new, old)
    if isinstance(new, list) and len(new) == len(mask):
        if not isinstance(old, list) or len(old) != len(mask):
            raise UnlikeError(f"{where!r} is a list of {len(mask)}, and was none earlier in the run")
        return [n if on else o for n, o, on in zip(new, old, mask, strict=True)]
    if isinstance(new, dict):
        known = old if isinstance(old, dict) else {}
        return {
            key: merge(value, known[key], mask, f"{where}.{key}" if where else str(key)) if key in known else value
            for key, value in new.items()
        }
    return new


def join(states: list[Any], counts: list[int]) -> Any:
    """The state of all seeds from those of groups of ``counts`` seeds; shared leaves are the first group's."""
    first = states[0]
    if isinstance(first, Tensor) and first.dim() and all(s.shape[0] == n for s, n in zip(states, counts, strict=True)):
        return torch.cat(states)
    if isinstance(first, list) and all(len(s) == n for s, n in zip(states, counts, strict=True)):
        return [value for state in states for value in state]
    if isinstance(first, dict):
        return {key: join([state[key] for state in states], counts) for key in first}
    return first


def pick(state: Any, seed: int, num_seeds: int) -> Any:
    """The state of the learner at position ``seed`` alone, with S = 1."""
    if isinstance(state, Tensor) and state.dim() and state.shape[0] == num_seeds:
        return state[seed : seed + 1].clone()
    if isinstance(state, list) and len(state) == num_seeds:
        return [state[seed]]
    if isinstance(state, dict):
        return {key: pick(value, seed, num_seeds) for key, value in state.items()}
    return state
