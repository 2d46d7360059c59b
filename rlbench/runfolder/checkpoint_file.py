"""The container of checkpoints: written atomically, verified on load, readable without running code.

A checkpoint is an ordinary `torch.save` file, so that ``torch.load(path, weights_only=True)`` opens it anywhere.
"""

import math
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch

from ..errors import CheckpointError, NoRun, first_line
from ..files import replacing_all, unwritable
from ..process.places import shown
from ..seed_axis import Shared
from .documents import unreadable
from .reader import resume_of

FORMAT = 1
SHARED = "rlbench.Shared"  # the only key of a dict that stands for a `Shared` value


def save(path: Path, kind: str, content: dict[str, Any]) -> None:
    """Write ``content`` to ``path`` so that at every instant the file there is whole: the old one or the new one.

    Args:
        path: where; its folder exists.
        kind: what the file is, checked on load.
        content: tensors of any device, numbers, strings, lists, dicts and `Shared` values. In the file every tensor is
            one of the CPU: plain `torch.load` opens it where there is no such device.

    Raises:
        RunFolderError: the disk is full or the folder cannot be written. The old file is untouched.
        CheckpointError: ``content`` holds something that `load` would refuse.
    """
    save_together([(path, kind, content)])


def save_together(files: Sequence[tuple[Path, str, dict[str, Any]]]) -> None:
    """Write several files of one folder, each as `save`; none takes its place before all are on the disk.

    Files that belong together, such as a checkpoint and its replay buffer, so stay of one step where the disk fills up.
    """
    for _, kind, content in files:
        check_plain(content, kind)
    paths = [path for path, _, _ in files]
    path = paths[0]
    try:
        with replacing_all(paths, sync=True) as staged:
            for whole, temporary in zip(files, staged, strict=True):
                path, kind, content = whole
                held = in_file(content)
                with temporary.open("wb") as file:
                    torch.save({"rlbench": kind, "format": FORMAT, "digest": _digest(held), **held}, file)
    except (OSError, RuntimeError) as e:  # torch reports a failed write as RuntimeError
        if (interrupt := _interrupt_behind(e)) is not None:
            raise interrupt from None
        then = "The file of the previous checkpoint is untouched; go on from it with:"
        raise unwritable(shown(path), e, f"{then} {resume_of(path.parent)}") from e


def _interrupt_behind(e: BaseException | None) -> KeyboardInterrupt | None:
    """The signal that came in the middle of a file, which torch then cannot end: its error hides what came first."""
    while e is not None and not isinstance(e, KeyboardInterrupt):
        e = e.__context__
    return e


def load(path: Path, kind: str, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a file that `save` wrote. The tensors of a replay buffer lie in the file's memory: copy what is to stay.

    Raises:
        CheckpointError: it is missing, damaged, of another kind, from a newer version, or would run code.
    """
    if path.is_dir() or not path.exists():
        more = " Without it the run cannot be resumed, but played and evaluated." if kind == "replay" else ""
        raise (CheckpointError if kind == "replay" else NoRun)(f"there is no {kind} at {shown(path)}.{more}")
    try:
        file = path.open("rb")
    except OSError as e:
        raise CheckpointError(f"{unreadable(shown(path), e)}.") from e
    with file:
        content = _opened(path, file, kind, device)
    if not isinstance(content, dict) or content.get("rlbench") != kind:
        found = content.get("rlbench") if isinstance(content, dict) else None
        what = f"it is a {found}" if found else "it was not written by rlbench"
        raise CheckpointError(f"{shown(path)} is no {kind}: {what}.")
    if not isinstance(content.get("format"), int) or content["format"] > FORMAT:
        raise CheckpointError(
            f"{shown(path)} has format {content.get('format')}, this rlbench reads up to {FORMAT}. "
            "Upgrade rlbench to open it."
        )
    size, digest = path.stat().st_size, content.pop("digest", None)
    held = {key: value for key, value in content.items() if key not in ("rlbench", "format")}
    try:
        sound = digest == _digest(held, limit=size)
    except (RuntimeError, RecursionError, ValueError, TypeError, MemoryError) as e:
        raise CheckpointError(f"{shown(path)} is damaged: {first_line(e)}.{_offer(path)}") from e
    if not sound:
        raise CheckpointError(f"{shown(path)} is damaged: its content does not match its digest.{_offer(path)}")
    return {key: from_file(value) for key, value in content.items()}


def _opened(path: Path, file: BinaryIO, kind: str, device: torch.device | str) -> Any:
    """What ``file``, at ``path``, holds, if it is whole and would run no code."""
    try:
        with zipfile.ZipFile(file) as archive:  # checks what torch.load does not: the members' CRCs
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("its members are compressed, which rlbench never does")
            damaged = archive.testzip()
    except OSError as e:
        raise CheckpointError(f"{unreadable(shown(path), e)}.") from e
    except Exception as e:  # by where the damage is: BadZipFile, zlib.error, UnicodeDecodeError, "is encrypted", ...
        raise CheckpointError(f"{shown(path)} is damaged or is no checkpoint: {e}.{_offer(path)}") from e
    if damaged:
        raise CheckpointError(f"{shown(path)} is damaged: the checksum of {damaged} does not match.{_offer(path)}")
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch finds odd is refused below or by it
            large = kind == "replay"  # is copied into the ring from where it lies, and need not fit in memory twice
            return torch.load(path if large else file, map_location=device, weights_only=True, mmap=large)
    except Exception as e:
        reason = (str(e) or type(e).__name__).splitlines()[0]
        if "Weights only load failed" in reason:
            reason = "it holds objects other than tensors and plain values, which could run code"
        raise CheckpointError(f"{shown(path)} was refused: {reason}.") from e


def in_file(value: Any) -> Any:
    """``value`` made plain, with every tensor in the host's memory; those that lie there already are not copied."""
    if isinstance(value, Shared):
        return {SHARED: in_file(value.value)}
    if isinstance(value, dict):
        return {key: in_file(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(in_file(inner) for inner in value)
    return value.cpu() if isinstance(value, torch.Tensor) else value


def from_file(value: Any) -> Any:
    """What `in_file` made plain, as it was."""
    if isinstance(value, dict):
        if list(value) == [SHARED]:
            return Shared(from_file(value[SHARED]))
        return {key: from_file(inner) for key, inner in value.items()}
    return type(value)(map(from_file, value)) if type(value) in (list, tuple) else value


def digest_of(value: Any) -> int:
    """A number that tells states apart: CRC-32 of all tensors and plain values in ``value``."""
    return _digest(value)


def _digest(value: Any, digest: int = 0, limit: float = math.inf) -> int:
    """CRC-32 of all tensors and plain values in ``value``, with their names, dtypes and shapes.

    A zip's own CRCs tell whether a member is whole, but not whether it is in its place.

    Raises:
        ValueError: a tensor claims to hold more than ``limit`` bytes.
    """
    if isinstance(value, Shared):
        value = {SHARED: value.value}
    if isinstance(value, dict):
        for key, inner in value.items():
            digest = _digest(inner, zlib.crc32(f"{type(key).__name__} {key!r}:".encode(), digest), limit)
        return zlib.crc32(b"}", digest)
    if isinstance(value, (list, tuple)):
        for inner in value:
            digest = _digest(inner, zlib.crc32(b",", digest), limit)
        return zlib.crc32(b"]", digest)
    if isinstance(value, torch.Tensor):
        if value.numel() * value.element_size() > limit:
            raise ValueError(f"a tensor claims {value.numel():,} elements, more than the file holds")
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest = zlib.crc32(f"{value.dtype} {tuple(value.shape)}".encode(), digest)
        return zlib.crc32(flat.view(torch.uint8).numpy().data, digest) if flat.numel() else digest
    return zlib.crc32(f"{type(value).__name__} {value!r}".encode(), digest)


def check_plain(value: Any, where: str) -> None:
    """Refuse what could be written but never be read again."""
    if isinstance(value, Shared):
        check_plain(value.value, where)
    elif isinstance(value, dict):
        for key, inner in value.items():
            check_plain(inner, f"{where}.{key}")
    elif isinstance(value, (list, tuple)):
        for i, inner in enumerate(value):
            check_plain(inner, f"{where}[{i}]")
    elif type(value) not in (torch.Tensor, int, float, str, bool, type(None)):
        name = f"{type(value).__module__}.{type(value).__name__}"
        raise CheckpointError(
            f"cannot save {where}: it is a {name}. A state_dict may hold tensors, numbers, texts, lists and dicts; "
            "convert it (value.item(), torch.from_numpy(value), list(value))."
        )


def _offer(path: Path) -> str:
    """A sentence about another checkpoint beside a damaged one, if there is one."""
    if path.name == "replay.pth":
        return " Without it the run cannot be resumed, but played and evaluated."
    beside = [
        path.with_name("checkpoint.pth"),
        path.with_name("best.pth"),
        *path.parent.glob("checkpoints/*/*point.pth"),
    ]
    others = [p for p in beside if p != path and p.is_file()]
    return f" There is also {shown(others[0])}." if others else ""
