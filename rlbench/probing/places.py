"""Follows tensors through an agent's own code, on a CPU, as if what it is given lay on another device.

What an agent is given, and what is made with ``device=``, counts as lying there; what its own code makes without a word
about the device lies on the host, as it would. Where its code brings the two together, or takes what lies there for the
host's memory, a card would refuse. Code of the kit, and of libraries, is followed and never blamed: it knows both.
"""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

THERE, HERE = "there", "here"
_PLACE = "_rlbench_place"
# Go from one place to the other by themselves, or look at indices that may lie on the host.
_CROSS = {"copy_", "__setitem__", "__getitem__", "index_put_", "to", "type_as", "cpu", "cuda", "set_data"}
_TO_HOST = {"numpy", "__array__"}
_MOVES = {"to", "cpu"}


class Strayed(Exception):
    """Tensors of two places met, or one was taken for the host's; the text says which, and where."""


class Following(TorchFunctionMode):
    """Context in which tensors are followed.

    Args:
        files: of the agent's own code.
    """

    def __init__(self, files: Collection[str]) -> None:
        super().__init__()
        self._files = frozenset(files)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        how = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        frame = self._own_frame()
        known = [(x, place) for x in _tensors((*args, *how.values())) if (place := place_of(x))]
        if frame is not None:
            self._check(name, known, frame)
        result = func(*args, **how)
        place = self._place(name, known, args, how, own=frame is not None)
        if place is None:
            return result
        if isinstance(result, Tensor) and name in _MOVES and any(result is x for x in args):
            result = result.view(result.shape)  # on a CPU it is the same one, which stays where it lies
        where = "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
        given = list(_tensors((*args, *how.values())))
        for x in _tensors((result,)):
            if not any(x is one for one in given):
                _mark(x, place, where)
        return result

    def _own_frame(self) -> FrameType | None:
        """The agent's own line that called, if it did so itself."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and frame.f_code.co_filename.startswith(_TORCH):
            frame = frame.f_back
        return frame if frame is not None and frame.f_code.co_filename in self._files else None

    def _check(self, name: str, known: list[tuple[Tensor, str]], frame: FrameType) -> None:
        line = f"{frame.f_code.co_filename}:{frame.f_lineno}, in {frame.f_code.co_name}"
        there = [x for x, place in known if place == THERE]
        if name in _TO_HOST and there:
            raise Strayed(f"{line}: .{name.strip('_')}() of what lies on the device: put .cpu() before it")
        here = [x for x, place in known if place == HERE and x.dim() > 0]
        if here and there and name not in _CROSS:
            made = getattr(here[0], "_rlbench_made", "")
            what = f"made at {made} without device=" if made else "on the host"
            raise Strayed(f"{line}: {name} of a tensor that was {what}, and one on the device")

    def _place(
        self, name: str, known: list[tuple[Tensor, str]], args: Sequence[Any], how: Mapping[str, Any], *, own: bool
    ) -> str | None:
        """Where what came lies; None: nobody knows, or nothing came."""
        if name == "cpu":
            return HERE
        device = how.get("device") or next((x for x in args if isinstance(x, torch.device)), None)
        if name == "to" and any(isinstance(x, str) and x == "cpu" for x in (*args, how.get("device"))):
            return HERE
        if isinstance(device, torch.device):  # the one that it was told of; a text names one of its own choice
            return THERE
        if name == "to" and len(known) > 1:
            return known[1][1]
        if known:
            return THERE if any(place == THERE for _, place in known) else HERE
        return HERE if own and name in _MAKES else None


_TORCH = torch.__path__[0]
_MAKES = {
    "tensor", "zeros", "ones", "full", "empty", "arange", "linspace", "eye", "rand", "randn", "randint", "randperm",
    "as_tensor", "from_numpy", "asarray",
}  # fmt: skip


def there(value: Any) -> None:
    """Let tensors, also those in tuples and dicts, lie on the device."""
    for x in _tensors(value):
        _mark(x, THERE)


def _mark(x: Tensor, place: str, where: str = "") -> None:
    setattr(x, _PLACE, place)
    if place == HERE and where:
        x._rlbench_made = where  # type: ignore[attr-defined]


def place_of(x: Tensor) -> str | None:
    """Where it lies; None: nobody said so."""
    return getattr(x, _PLACE, None)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _tensors(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _tensors(inner)
