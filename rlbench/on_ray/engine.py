"""Cells on a Ray cluster, one that runs already or one that is started here: each is a task of Ray Core.

A cell that is lost with its node or its worker is told as lost, and never begun again by Ray: whoever handed it over
hands it over again, and its run goes on from its checkpoint.
"""

import contextlib
import difflib
import importlib.util
import json
import os
import secrets
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from ..cells.order import Order
from ..engines.engine import CellEnd, Needs
from ..errors import RlbenchError, UsageError
from ..files import write_text
from ..process.places import shown
from ..recipe.shares import cores
from ..units import duration
from .nodes import Node, too_small

KEYS = ("address", "cores", "ahead")
OPEN = 90.0  # seconds for a cluster to be connected to, or to be started here
CLOSE = 90.0  # seconds for cells to save and end, and a cluster of our own with them
QUICK = {"RAY_NUM_REDIS_GET_RETRIES": "4"}  # seconds for what listens at an address to answer as a cluster, 20 else
COMMAND = (sys.executable, "-m", "rlbench.on_ray.cluster")
LOG, MARK = "ray.log", "seen"  # in the engine's folder


def installed() -> bool:
    """Whether Ray can be imported here."""
    return importlib.util.find_spec("ray") is not None


class Ray:
    """An `Engine`.

    Args:
        place: folder for its own files: ray.log, into which goes all that Ray says.
        settings: ``address`` of a cluster: HOST:PORT, ray://HOST:PORT, auto for one on this machine; by default what
            RAY_ADDRESS says, else one is started here, of ``cores`` cores. ``ahead``: how many cells are handed over
            beyond those that there is room for, to a cluster that grows where more is asked of it; by default 0.

    Raises:
        UsageError: a setting is unknown or wrong, or Ray is not installed.
    """

    name = "ray"

    def __init__(self, place: Path, settings: Mapping[str, Any]) -> None:
        if unknown := [key for key in settings if key not in KEYS]:
            close = difflib.get_close_matches(unknown[0], KEYS, 1)
            hint = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(KEYS)}."
            raise UsageError(f"[ray] knows no {unknown[0]!r}. {hint}")
        address = settings.get("address", os.environ.get("RAY_ADDRESS", ""))
        if not isinstance(address, str):
            raise UsageError(f"[ray] address: must be a text, got {address!r}")
        if address and "cores" in settings:
            raise UsageError("[ray] cores: is of a cluster that is started here; one with an address has its own.")
        if not installed():
            raise UsageError("--on ray needs Ray, which is not installed. Run: pip install 'rlbench[ray]'")
        self.place, self.address = place, address
        self.cores = _count(settings, "cores", cores(), least=1)
        self.ahead = _count(settings, "ahead", 0, least=0)
        self.nodes: list[Node] = []
        self._token = secrets.token_hex(8)
        self._hand: set[str] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None  # what Ray says, until there is a folder for it
        self._buffer = b""

    def check(self, needs: Needs) -> list[str]:
        """As of an `Engine`. Connects to the cluster, or starts one."""
        if needs.gpus > 1 and needs.gpus != int(needs.gpus):
            raise UsageError(
                f"[resources] gpus: Ray deals out a part of one card, or whole ones; got {needs.gpus:g}. Take "
                f"{int(needs.gpus) + 1}."
            )
        notes = self._open()
        if not any(node.fits(needs) for node in self.nodes):
            if not self.ahead:
                raise UsageError(too_small(self.nodes, needs))
            notes.append(f"{too_small(self.nodes, needs)} Waiting for one to come, as [ray] ahead is {self.ahead}.")
        return notes

    def taken(self) -> dict[str, int]:
        """None: cells end with the driver that began them, saved."""
        return {}

    def queued(self) -> set[str]:
        """As of an `Engine`: any, as Ray tells of a task when it has ended."""
        return set(self._hand)

    def free(self, needs: Needs) -> int:
        """As of an `Engine`: by what the nodes have; where others use them too, cells wait there for their turn."""
        return max(0, sum(node.fits(needs) for node in self.nodes) + self.ahead - len(self._hand))

    def begin(self, order: Order, needs: Needs) -> None:
        """As of an `Engine`."""
        self._open()
        self._move_in()
        mark = None if order.store else [str(self.place / MARK), self._token]
        told = {"order": order.to_json(), "cpus": needs.cpus, "gpus": needs.gpus, "memory": needs.memory, "mark": mark}
        self._send({"begin": {"cell": order.cell, **told}})
        self._hand.add(order.cell)

    def wait(self, seconds: float) -> list[CellEnd]:
        """As of an `Engine`."""
        ended: list[CellEnd] = []
        until = time.monotonic() + seconds
        while not ended and (told := self._told(until)) is not None:
            for one in told:
                if "ended" in one:
                    self._hand.discard(one["ended"])
                    ended.append(
                        CellEnd(one["ended"], one["code"], one["said"], one.get("peak", 0), one.get("where", ""))
                    )
        return ended

    def stop(self, *, insist: bool = False) -> None:
        """As of an `Engine`."""
        if self._process is not None:
            self._send({"stop": "insist" if insist else "save"})

    def close(self) -> None:
        """As of an `Engine`. Cells that are in hand still are told to save and end, and waited for."""
        self._forget_words()
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(CLOSE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        self._hand.clear()

    def _open(self) -> list[str]:
        """Connect, if that is still to be done; gives notes."""
        if self._process is not None:
            return []
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed when there is a folder)
        self._process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={**QUICK, **os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
            start_new_session=True,  # a Ctrl-C in the terminal is for the driver to hand on
        )
        self._buffer = b""
        self._send({"connect": {"address": self.address, "cores": self.cores}})
        until = time.monotonic() + OPEN
        try:
            while (told := self._told(until)) is not None:
                for one in told:
                    if "notes" in one:
                        return [str(note) for note in one["notes"]]
        except BaseException:
            self._let_go()
            raise
        self._let_go()
        raise UsageError(
            f"{self.address or 'Ray, started here,'} does not answer as a Ray cluster within {duration(OPEN)}. Try "
            f"`ray status{f' --address={self.address}' if self.address else ''}`."
        )

    def _move_in(self) -> None:
        """Begin to use the folder: only now is it sure that anything is to be written."""
        if self._said is None:
            return
        self.place.mkdir(parents=True, exist_ok=True)
        write_text(self.place / MARK, self._token + "\n")
        self._send({"log": str(self.place / LOG)})
        self._forget_words()

    def _forget_words(self) -> None:
        if self._said is not None:
            self._said.close()
            self._said = None

    def _told(self, until: float) -> list[dict[str, Any]] | None:
        """What came from the process that is connected, at once or before ``until``; None: nothing.

        Raises:
            UsageError: it found nothing to connect to.
            RlbenchError: it is gone.
        """
        if self._process is None:
            time.sleep(max(0.0, until - time.monotonic()))
            return None
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return None
        data = os.read(self._process.stdout.fileno(), 1 << 16)
        if not data:
            raise self._lost("it does not answer any more")
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        told: list[dict[str, Any]] = [json.loads(line) for line in lines]
        for one in told:
            if "refused" in one:
                raise UsageError(self._token_needed() or one["refused"])
            if "lost" in one:
                raise self._lost(one["lost"])
            if "nodes" in one:
                self.nodes = [Node(**node) for node in one["nodes"]]
        return told

    def _token_needed(self) -> str:
        """That the cluster wants to know who we are, which Ray tells its log alone; else ""."""
        if self._said is None:
            return ""
        self._said.seek(0)
        if b"InvalidAuthToken" not in self._said.read():
            return ""
        return (
            f"the Ray cluster at {self.address} asks for its token, and none was sent, or a wrong one. Set "
            "RAY_AUTH_MODE=token; Ray takes the token from RAY_AUTH_TOKEN, or from ~/.ray/auth_token as on its head."
        )

    def _lost(self, why: str) -> RlbenchError:
        """What to raise where the cluster is gone."""
        self._let_go()
        where = f"at {self.address}" if self.address else "on this machine"
        log = f" {shown(self.place / LOG)} has what Ray said." if (self.place / LOG).exists() else ""
        return RlbenchError(
            f"the Ray cluster {where} is gone: {why}.{log} Cells that it had in hand go on from their checkpoints with "
            "the same command."
        )

    def _let_go(self) -> None:
        self._forget_words()
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()
        self._hand.clear()

    def _send(self, content: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended, which is told where its answers are read
            self._process.stdin.write(json.dumps(content).encode() + b"\n")
            self._process.stdin.flush()


def _count(settings: Mapping[str, Any], key: str, otherwise: int, *, least: int) -> int:
    value = settings.get(key, otherwise)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UsageError(f"[ray] {key}: must be a number of at least {least}, got {value!r}")
    return value
