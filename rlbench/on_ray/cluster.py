"""Stands between a driver and a Ray cluster: `python -m rlbench.on_ray.cluster`, a process of its own.

Ray writes to the terminal, takes over SIGTERM, and ends the process that speaks to it where its cluster is gone: none
of this is to befall who runs a sweep. So that process is this one. It reads JSON lines from standard input, ``connect``
with its settings, then ``log``, ``begin`` and ``stop``. It writes JSON lines to standard output: which nodes there are,
whenever that changes, and of each cell its end. At the end of its input, as when the driver has died, cells are asked
to save and end.
"""

import contextlib
import importlib.metadata
import json
import os
import platform
import queue
import re
import socket
import sys
import threading
import time
from typing import Any

from ..errors import UsageError, first_line
from ..version import __version__

REACH = 5.0  # seconds for a connection to an address
ANSWER = 30.0  # seconds for each node to say what is installed there
LOOK = 2.0  # seconds between two looks at which nodes there are
ENOUGH = 60.0  # seconds for cells to save and end, once the driver is gone
INSIST = 3.0  # seconds for a task to kill its cell, before Ray does both
STORE = 80 * 2**20  # bytes for objects of a local cluster, of which there are none; Ray takes no less


class Cluster:
    """A cluster that is connected to, and the cells that it has in hand."""

    def __init__(self, address: str, cores: int) -> None:
        self._tell: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._hand: dict[str, Any] = {}
        self._stopped: set[str] = set()
        self._over = threading.Event()
        connect(address, cores)
        import ray

        from .task import carry_out

        self._ray, self._task = ray, ray.remote(max_retries=0)(carry_out)
        self._nodes = nodes()
        self._tell.put({"nodes": self._nodes, "notes": differences(self._nodes) if address else []})

    def serve(self, out: int) -> None:
        """Until the end of input, and of the cells in hand."""
        for work in (self._write, self._look):
            threading.Thread(target=work, args=(out,), daemon=True).start()
        for line in sys.stdin:
            asked = json.loads(line)
            if "begin" in asked:
                self._begin(**asked["begin"])
            elif "stop" in asked:
                self._stop(insist=asked["stop"] == "insist")
            elif "log" in asked:
                keep(asked["log"])
        until = time.monotonic() + ENOUGH
        while self._hand and time.monotonic() < until:
            self._stop()
            time.sleep(0.1)
        self._over.set()
        self._ray.shutdown()

    def _begin(self, cell: str, order: str, cpus: float, gpus: float, memory: int, mark: list[str] | None) -> None:
        how = self._task.options(
            num_cpus=cpus, num_gpus=gpus, memory=memory or None, name=f"rlbench {cell}", max_retries=0
        )
        self._hand[cell] = ref = how.remote(order, gpus, tuple(mark) if mark else None)
        self._stopped.discard(cell)
        ref.future().add_done_callback(lambda future: self._ended(cell, future))

    def _ended(self, cell: str, future: Any) -> None:
        try:
            told = future.result()
        except BaseException as e:
            told = {"code": None, "said": self._why(e)}
            if isinstance(e, self._ray.exceptions.LocalRayletDiedError):
                self._tell.put({"lost": "its part on this machine was ended"})
        self._hand.pop(cell, None)
        self._tell.put({"ended": cell, **told})

    def _why(self, e: BaseException) -> str:
        """Why a task gave nothing back."""
        known = self._ray.exceptions
        for kind, words in (
            (known.TaskCancelledError, "cancelled"),
            (known.OutOfMemoryError, "ended by Ray, as its node ran out of memory"),
            (known.NodeDiedError, "its node is gone"),
            (known.LocalRayletDiedError, "its node is gone"),
            (known.WorkerCrashedError, "its Ray worker was killed, or its node is gone"),
        ):
            if isinstance(e, kind):
                return words
        return _last_line(e)

    def _stop(self, *, insist: bool = False) -> None:
        """Ask each cell once to save and end; with ``insist``, kill."""
        asked = {cell: ref for cell, ref in self._hand.items() if insist or cell not in self._stopped}
        for cell, ref in asked.items():
            self._stopped.add(cell)
            self._ray.cancel(ref, force=False)
        if insist:
            threading.Timer(INSIST, self._force, [asked]).start()

    def _force(self, refs: dict[str, Any]) -> None:
        for cell, ref in refs.items():
            if self._hand.get(cell) is ref:
                self._ray.cancel(ref, force=True)

    def _look(self, _: int) -> None:
        """Tell which nodes there are, whenever that has changed."""
        while not self._over.wait(LOOK):
            with contextlib.suppress(self._ray.exceptions.RayError):  # it is ending
                if (now := nodes()) != self._nodes:
                    self._nodes = now
                    self._tell.put({"nodes": now})

    def _write(self, out: int) -> None:
        with contextlib.suppress(OSError):  # nobody reads any more
            while True:
                os.write(out, json.dumps(self._tell.get()).encode() + b"\n")


def keep(log: str) -> None:
    """Let all that Ray prints be appended to a file from here on."""
    with contextlib.suppress(OSError):
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.close(handle)


def connect(address: str, cores: int) -> None:
    """Connect to the cluster at ``address``; "": start one here, of so many cores.

    Raises:
        UsageError: nothing answers there, or what answers is no cluster of our version of Ray and Python.
    """
    import ray

    if address not in ("", "auto"):
        reach(address)
    how: dict[str, Any] = {"address": address or "local"}
    if not address:
        how |= {"num_cpus": cores, "object_store_memory": STORE, "include_dashboard": False}
    if not address.startswith("ray://"):
        how |= {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        ray.init(**how)
    except Exception as e:
        if address == "auto" and isinstance(e, ConnectionError):
            raise UsageError(f"no Ray cluster runs on this machine. {START}") from e
        raise UsageError(f"cannot work with the Ray cluster at {address or 'this machine'}: {_told(e)}") from e


START = "Start one with `ray start --head`, or leave the address out, which starts one for the sweep."


def reach(address: str) -> None:
    """See that something listens at an address.

    Raises:
        UsageError: nothing does, or it is no address.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"[ray] address: must be HOST:PORT, ray://HOST:PORT or auto, got {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH).close()
    except (OSError, OverflowError) as e:
        raise UsageError(f"no Ray cluster answers at {address}: {first_line(e)}. {START}") from e


def nodes() -> list[dict[str, Any]]:
    """Nodes that are alive: id, host, cpus, gpus, memory in bytes."""
    import ray

    found = [(node["NodeID"], node["NodeManagerHostname"], node["Resources"]) for node in ray.nodes() if node["Alive"]]
    return [
        {"id": id_, "host": host, "cpus": has.get("CPU", 0), "gpus": has.get("GPU", 0), "memory": has.get("memory", 0)}
        for id_, host, has in sorted(found, key=lambda one: one[:2])
    ]


def installed() -> dict[str, str]:
    """Versions that runs depend on, of this process."""
    return {"rlbench": __version__, "torch": importlib.metadata.version("torch"), "Python": platform.python_version()}


def differences(nodes: list[dict[str, Any]]) -> list[str]:
    """What is installed on nodes otherwise than here, as notes: numbers may come out differently there.

    Raises:
        UsageError: rlbench is missing on one, or another version of it is there.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def ask() -> dict[str, str]:  # goes to nodes as code, not by name: rlbench may be missing there
        import importlib.metadata as known
        import platform

        found = {"Python": platform.python_version()}
        for package in ("rlbench", "torch"):
            try:
                found[package] = known.version(package)
            except known.PackageNotFoundError:
                found[package] = ""
        return found

    asks = ray.remote(num_cpus=0, max_retries=0)(ask)
    refs = {
        asks.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["id"], soft=False)).remote(): node["host"]
        for node in nodes
    }
    done, silent = ray.wait(list(refs), num_returns=len(refs), timeout=ANSWER)
    notes = [f"node {host} has not answered within {ANSWER:.0f} s" for host in sorted({refs[ref] for ref in silent})]
    here, told = installed(), set()
    for ref in done:
        try:
            there = ray.get(ref)
        except Exception as e:  # it is gone again
            notes.append(f"node {refs[ref]} cannot be asked: {_told(e)}")
            continue
        if not there["rlbench"]:
            raise UsageError(f"rlbench is not installed on node {refs[ref]}, by the Python that Ray runs with there.")
        if there["rlbench"] != here["rlbench"]:
            raise UsageError(
                f"node {refs[ref]} has rlbench {there['rlbench']}, and here it is {here['rlbench']}. Install the same."
            )
        other = ", ".join(f"{name} {version}" for name, version in there.items() if version != here[name])
        if other:
            told.add(f"node {refs[ref]} has {other or 'nothing'}, unlike here; numbers may differ in their last bits")
    return [*notes, *sorted(told)]


def _last_line(e: BaseException) -> str:
    """What happened on a node: an error that comes from there ends with it, after a traceback in colours."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in str(e).splitlines()]
    return next((line for line in reversed(lines) if line), type(e).__name__)


def _told(e: BaseException) -> str:
    """An error of Ray's in one line: mismatches of versions are told over several."""
    lines = [" ".join(line.split()) for line in str(e).splitlines() if line.strip()]
    if lines and "mismatch" in lines[0].lower():
        return " ".join(lines).rstrip(".") + "."
    return first_line(e).rstrip(".") + "."


def main() -> int:
    """The process's exit code: 2 where there is nothing to connect to."""
    out = os.dup(1)
    os.set_inheritable(out, False)
    os.dup2(2, 1)  # what Ray prints is no answer
    asked = json.loads(sys.stdin.readline() or "{}")
    if "connect" not in asked:
        return 2
    try:
        cluster = Cluster(**asked["connect"])
    except UsageError as e:
        os.write(out, json.dumps({"refused": str(e)}).encode() + b"\n")
        return 2
    cluster.serve(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
