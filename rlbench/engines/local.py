"""Cells on the cores of this machine: as many at once as there are cores and memory for, one thread each."""

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..cells.order import Order
from ..errors import UsageError
from ..process.resources import free_memory
from ..recipe.shares import cores
from ..units import byte_size
from . import early
from .engine import CellEnd, Needs, how_ended

GUESS = 512 * 2**20  # bytes of a cell of which nothing is known yet
SPARE = 0.05  # share of the free memory that is left to others


class Local:
    """An `Engine`.

    Args:
        settings: ``cores``: how many to use, by default all that this process may.
    """

    name = "local"

    def __init__(self, place: Path, settings: Mapping[str, Any]) -> None:
        known = {"cores": cores()}
        if unknown := [key for key in settings if key not in known]:
            raise UsageError(f"[local] knows no {unknown[0]!r}. Known: {', '.join(known)}.")
        count = settings.get("cores", known["cores"])
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise UsageError(f"[local] cores: must be a number of at least 1, got {count!r}")
        self.cores = count
        self._nursery: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._hand: dict[str, _InHand] = {}
        self._stopping = False

    def check(self, needs: Needs) -> list[str]:
        """As of an `Engine`."""
        if not hasattr(os, "fork"):
            raise UsageError("--on local needs a system that can fork, as Linux and macOS do. Take --on ray.")
        if needs.cpus > self.cores:
            raise UsageError(
                f"a cell takes {needs.cpus:g} cores, and there are {self.cores} here. Lower [resources] cpus, or take "
                "--on ray or --on slurm."
            )
        if needs.gpus and needs.gpus > (cards := _cards()):
            there = f"and there are {cards} here" if cards else "and there is none here that torch can use"
            raise UsageError(f"a cell takes {needs.gpus:g} cards, {there}. Lower [resources] gpus.")
        free = free_memory()
        if free is not None and needs.memory > free:
            raise UsageError(
                f"a cell takes {byte_size(needs.memory)} of memory, and {byte_size(free)} are free here. Lower "
                "[resources] memory, or take a larger machine: --on ray, --on slurm."
            )
        return []

    def taken(self) -> dict[str, int]:
        """None: cells end with the driver that began them, saved."""
        return {}

    def queued(self) -> set[str]:
        """None: every cell begins as soon as it is handed over."""
        return set()

    def free(self, needs: Needs) -> int:
        """As of an `Engine`: by cores, and by the memory that cells in hand may still come to take."""
        left = int((self.cores - sum(one.needs.cpus for one in self._hand.values())) / max(needs.cpus, 1e-9))
        if needs.gpus:
            used = sum(one.needs.gpus for one in self._hand.values())
            left = min(left, int((_cards() - used) / needs.gpus + 1e-9))
        if left <= 0 or not self._hand:  # one alone is always tried: what it takes may be less than was guessed
            return max(left, 0)
        free = free_memory()
        if free is None:
            return left
        coming = sum(max(0, (one.needs.memory or GUESS) - _resident(one.process)) for one in self._hand.values())
        return max(0, min(left, int((free * (1 - SPARE) - coming) / (needs.memory or GUESS))))

    def begin(self, order: Order, needs: Needs) -> None:
        """As of an `Engine`."""
        self._send(f"begin {order.to_json()}")
        self._hand[order.cell] = _InHand(needs)

    def wait(self, seconds: float) -> list[CellEnd]:
        """As of an `Engine`."""
        if self._nursery is None:
            time.sleep(seconds)
            return []
        ended: list[CellEnd] = []
        until = time.monotonic() + seconds
        while not ended and self._nursery is not None:
            left = until - time.monotonic()
            assert self._nursery.stdout is not None
            ready, _, _ = select.select([self._nursery.stdout], [], [], max(left, 0))
            if not ready:
                break
            ended += self._read()
        return ended

    def stop(self, *, insist: bool = False) -> None:
        """As of an `Engine`."""
        self._stopping = True
        for one in self._hand.values():
            if one.process:
                self._send(f"signal {int(signal.SIGKILL if insist else signal.SIGTERM)} {one.process}")

    def close(self) -> None:
        """As of an `Engine`. Cells that are in hand still are told to save and end, and waited for."""
        if self._nursery is None:
            return
        with contextlib.suppress(OSError):
            assert self._nursery.stdin is not None
            self._nursery.stdin.close()
        self._nursery.wait()
        assert self._nursery.stdout is not None
        self._nursery.stdout.close()
        self._nursery = None

    def _read(self) -> list[CellEnd]:
        """What the nursery has told."""
        assert self._nursery is not None
        assert self._nursery.stdout is not None
        data = os.read(self._nursery.stdout.fileno(), 1 << 16)
        if not data:
            return self._lost()
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        ended = []
        for line in lines:
            told = json.loads(line)
            if "began" in told and told["began"] in self._hand:
                one = self._hand[told["began"]]
                one.process = told["process"]
                if self._stopping:  # it was asked for before it had a number
                    self._send(f"signal {int(signal.SIGTERM)} {one.process}")
            elif "ended" in told:
                self._hand.pop(told["ended"], None)
                ended.append(
                    CellEnd(told["ended"], told["code"], told.get("said") or how_ended(told["code"]), told["peak"])
                )
        return ended

    def _lost(self) -> list[CellEnd]:
        """The nursery was killed. Its cells, told by the system, save and end; another one takes its place."""
        assert self._nursery is not None
        for pipe in (self._nursery.stdin, self._nursery.stdout):
            with contextlib.suppress(OSError):
                assert pipe is not None
                pipe.close()
        how = f"the process that it came from was {how_ended(self._nursery.wait()) or 'ended'}"
        lost, self._hand, self._nursery, self._buffer = list(self._hand), {}, None, b""
        return [CellEnd(cell, None, how) for cell in lost]

    def _send(self, line: str) -> None:
        if self._nursery is None:
            self._nursery = early.take()
        assert self._nursery.stdin is not None
        with contextlib.suppress(OSError):  # it was killed, which is told where its answers are read
            self._nursery.stdin.write(line.encode() + b"\n")
            self._nursery.stdin.flush()


class _InHand:
    """A cell that was handed over."""

    def __init__(self, needs: Needs) -> None:
        self.needs, self.process = needs, 0


def _resident(process: int) -> int:
    """Bytes that a process holds now; 0: not known."""
    try:
        with open(f"/proc/{process}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _cards() -> int:
    import torch

    return torch.cuda.device_count()
