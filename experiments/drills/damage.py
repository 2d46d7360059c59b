"""Mutated checkpoints and recipes: each is refused in a clear line, or loads to exactly what was saved."""

import copy
import io
import pickle
import resource
import signal
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

MEMORY = 4 * 2**30  # bytes of address space beyond what is in use; whoever asks for more has been fooled
SECONDS = 20


class _Payload:
    """Pickled, a call that writes a file."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.sentinel, "owned")


@click.command()
@click.option("--count", default=1_000, show_default=True, help="Mutated files in all.")
@click.option("--seed", default=0, show_default=True)
def damage(count: int, seed: int) -> None:
    """Open COUNT mutated checkpoints, replay buffers and recipes; half of them are checkpoints."""
    import rlbench
    from rlbench.errors import RlbenchError
    from rlbench.recipe import Recipe
    from rlbench.runfolder import checkpoint_file

    rng = np.random.default_rng(seed)
    refused, loaded = 0, 0
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        hyper = {"hidden": (8,), "capacity": 200, "learning_starts": 20, "batch_size": 8}
        short = {"seeds": 2, "total_steps": 100, "eval_every": 0, "final_eval_episodes": 1, "device": "cpu"}
        rlbench.train(recipe=Recipe(env="CartPole-v1", hyper=hyper, **short), out=run)
        sentinel = Path(scratch) / "owned"
        good = {name: (run / name).read_bytes() for name in ("checkpoint.pth", "replay.pth", "recipe.toml")}
        names = ("checkpoint.pth", "replay.pth")  # copied, as a buffer lies in its file's memory
        truth = {name: copy.deepcopy(checkpoint_file.load(run / name, name.split(".")[0])) for name in names}
        _limit_memory()
        signal.signal(signal.SIGALRM, _too_long)
        for n in range(count):
            name = ("checkpoint.pth", "replay.pth", "checkpoint.pth", "recipe.toml")[n % 4]
            kinds = TEXT if name == "recipe.toml" else BINARY
            kind = kinds[int(rng.integers(len(kinds)))] if n % 250 else _bomb
            (run / name).write_bytes(kind(good[name], rng, sentinel))
            signal.alarm(SECONDS)
            try:
                if name == "recipe.toml":
                    Recipe.load(run / name)
                    same = True  # whatever it says now is a recipe
                else:
                    opened = checkpoint_file.load(run / name, name.split(".")[0])
                    same = _same(opened, truth[name])
                loaded += 1
                if not same:
                    wrong.append(f"{n}: {name}, {kind.__name__}: opened with another content")
            except RlbenchError as e:
                refused += 1
                if "\n" in str(e):
                    wrong.append(f"{n}: {name}, {kind.__name__}: more than one line: {e}")
            except BaseException as e:
                if isinstance(e, KeyboardInterrupt):
                    raise
                wrong.append(f"{n}: {name}, {kind.__name__}: {type(e).__name__}: {e}")
            finally:
                signal.alarm(0)
            (run / name).write_bytes(good[name])
            if sentinel.exists():
                wrong.append(f"{n}: {name}, {kind.__name__}: ran code")
                sentinel.unlink()
    for line in wrong:
        click.echo(line, err=True)
    click.echo(f"{count} mutated files: {refused} refused in one line, {loaded} harmless, {len(wrong)} wrong")
    sys.exit(bool(wrong))


def _flipped_bits(data: bytes, rng: np.random.Generator, sentinel: Path) -> bytes:
    changed = bytearray(data)
    for at in rng.integers(len(data), size=int(rng.integers(1, 9))):
        changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _truncated(data: bytes, rng: np.random.Generator, sentinel: Path) -> bytes:
    return data[: int(rng.integers(len(data)))]


def _overwritten(data: bytes, rng: np.random.Generator, sentinel: Path) -> bytes:
    at, n = int(rng.integers(len(data))), int(rng.integers(1, 200))
    return data[:at] + rng.bytes(n) + data[at + n :]


def _swapped_members(data: bytes, rng: np.random.Generator, sentinel: Path) -> bytes:
    """The content of two tensors exchanged, each with a checksum that is right."""

    def swap(members: dict[str, bytes]) -> None:
        names = [name for name in members if "/data/" in name]
        one, other = rng.choice(names, 2, replace=False)
        members[one], members[other] = members[other], members[one]

    return _rezipped(data, swap)


def _foreign_pickle(data: bytes, rng: np.random.Generator, sentinel: Path) -> bytes:
    def replace(members: dict[str, bytes]) -> None:
        members[next(name for name in members if name.endswith("data.pkl"))] = pickle.dumps(_Payload(sentinel))

    return _rezipped(data, replace) if rng.integers(2) else pickle.dumps(_Payload(sentinel))


def _edited_pickle(data: bytes, rng: np.random.Generator, sentinel: Path) -> bytes:
    """A byte of the pickle changed, with a checksum that is right: other keys, dtypes, shapes, sizes, opcodes."""

    def edit(members: dict[str, bytes]) -> None:
        name = next(name for name in members if name.endswith("data.pkl"))
        members[name] = (
            _overwritten(members[name], rng, sentinel)
            if rng.integers(2)
            else bytes(_flipped_bits(members[name], rng, sentinel))
        )

    return _rezipped(data, edit)


def _rebuilt(data: bytes, rng: np.random.Generator, sentinel: Path) -> bytes:
    """A sound file in which one tensor has another dtype or shape, or is missing."""
    import torch

    content = torch.load(io.BytesIO(data), weights_only=True)
    tensors: list[tuple[Any, Any]] = []

    def collect(value: Any) -> None:
        for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            if isinstance(value[key], torch.Tensor):
                tensors.append((value, key))
            collect(value[key])

    collect(content)
    where, key = tensors[int(rng.integers(len(tensors)))]
    changes: tuple[Callable[[Any], Any], ...] = (
        lambda t: t.to(torch.complex64), lambda t: t.reshape(-1), lambda t: t[..., :0], lambda t: t.unsqueeze(0),
        lambda t: torch.zeros(1).expand(2**15, 2**14), lambda t: "text", lambda t: None, lambda t: [1] * 1000,
    )  # fmt: skip
    change = changes[int(rng.integers(len(changes)))]
    where[key] = change(where[key])
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()


def _bomb(data: bytes, rng: np.random.Generator, sentinel: Path) -> bytes:
    """A member that unpacks to 1 GiB of zeros."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        names = [info.filename for info in old.infolist()]
        chosen = names[int(rng.integers(len(names)))]
        for name in names:
            if name == chosen:
                with new.open(name, "w", force_zip64=True) as member:
                    for _ in range(16):
                        member.write(bytes(2**26))
            else:
                new.writestr(name, old.read(name))
    return out.getvalue()


def _rezipped(data: bytes, change: Callable[[dict[str, bytes]], None]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        members = {info.filename: old.read(info) for info in old.infolist()}
    change(members)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as new:
        for name, content in members.items():
            new.writestr(name, content)
    return out.getvalue()


def _nonsense(data: bytes, rng: np.random.Generator, sentinel: Path) -> bytes:
    """A line of TOML that asks for something odd."""
    lines = (
        b"seeds = 10_000_000_000\n", b"total_steps = -1\n", b"env = 3\n", b"env = 'os:system'\n",
        b"agent = '/etc/x.py:A'\n",
        b"imports = ['antigravity']\n", b"hyper = 1\n", b"[dqn]\nhidden = [1e400]\n", b"[" * 5000, b"a=" + b"[" * 5000,
        b"seed = " + b"9" * 5000 + b"\n", b"\xff\xfe\n", b"device = 'tpu'\n", b"[dqn]\ncapacity = 10000000000000000\n",
        b"env_kwargs = {a = 2020-01-01}\n",
    )  # fmt: skip
    line = lines[int(rng.integers(len(lines)))]
    return line + data if rng.integers(2) else data + line


BINARY = (
    _flipped_bits, _flipped_bits, _flipped_bits, _truncated, _truncated, _overwritten, _overwritten, _swapped_members,
    _foreign_pickle, _edited_pickle, _edited_pickle, _rebuilt, _rebuilt,
)  # fmt: skip
TEXT = (_flipped_bits, _truncated, _overwritten, _nonsense)


def _same(one: Any, other: Any) -> bool:
    import torch

    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return type(one) is type(other) and bool(one == other)


def _limit_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _too_long(*_: object) -> None:
    raise TimeoutError(f"took more than {SECONDS} seconds")
