"""Several workers at one address, and the process above them, which answers nothing: it starts them, puts another in
the place of one that dies, and ends them.
"""

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from socket import socket

from ..errors import RlbenchError
from .settings import ENDS, Settings
from .state import SharedState

BEGINS_WITHIN = 60.0  # seconds for a worker to begin
LIVES_FOR = 5.0  # seconds: a worker that dies before did not die of what it was asked
GIVE_UP = 3  # such deaths in a row


class WorkersDied(RlbenchError):
    """The workers of a service end as soon as they begin."""


def work(settings: Settings, sockets: list[socket], index: int) -> None:
    """One worker, in a process of its own. It ends when the process above says so, or dies.

    A terminal sends its signals to all processes, so that the one above them passes on what it means, by SIGTERM.
    """
    from ..process.orphans import when_the_parent_dies
    from .server import serve

    when_the_parent_dies(signal.SIGTERM)
    serve(settings, sockets, index)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Context in which signals of a terminal wait; for a process that is started in it, they do for good."""
    resource_tracker.ensure_running()  # which lets interrupts through as it begins
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class ServiceWorkers:
    """The workers of a service.

    Args:
        settings: of the service.
        sockets: of each worker.
        say: is told of a worker's death.
    """

    def __init__(self, settings: Settings, sockets: list[list[socket]], say: Callable[[str], object]) -> None:
        self._settings, self._sockets, self._say = settings, sockets, say
        self._state = SharedState(settings.state, settings.workers)
        self._spawn = multiprocessing.get_context("spawn")
        self._processes: list[BaseProcess] = []
        self._began = [0.0] * settings.workers
        self._young = 0  # deaths in a row of workers that had hardly begun
        self._signal = 0

    def run(self, ready: Callable[[], object]) -> int:
        """Until a signal comes; gives its number. ``ready`` is called once all workers take requests.

        Raises:
            WorkersDied: they end as soon as they begin.
        """
        before = {number: signal.signal(number, self._end) for number in ENDS}
        try:
            self._processes = [self._start(i) for i in range(self._settings.workers)]
            self._watch(lambda: self._state.answering == self._settings.workers)
            if not self._signal:
                ready()
            self._watch(lambda: False)
        finally:
            self._stop()
            for number, handler in before.items():
                signal.signal(number, handler)
        return self._signal

    def _end(self, number: int, frame: object) -> None:
        if self._signal:  # the second time it is meant at once
            for process in self._processes:
                process.kill()
        self._signal = number

    def _start(self, index: int) -> BaseProcess:
        self._state.ready(index, False)
        process = self._spawn.Process(
            target=work, args=(self._settings, self._sockets[index], index), name=f"worker {index}"
        )
        with interrupts_held():
            process.start()
        self._began[index] = time.monotonic()
        return process

    def _watch(self, enough: Callable[[], bool]) -> None:
        """Put another in the place of a worker that dies, until there is enough or a signal comes."""
        while not self._signal and not enough():
            wait([process.sentinel for process in self._processes], timeout=0.05)
            for index, process in enumerate(self._processes):
                if process.is_alive():
                    if not self._state.ready(index) and time.monotonic() - self._began[index] > BEGINS_WITHIN:
                        process.kill()
                    continue
                if self._signal:
                    return
                self._young = self._young + 1 if time.monotonic() - self._began[index] < LIVES_FOR else 0
                if self._young >= GIVE_UP:
                    raise WorkersDied(f"{self._young} workers in a row died as soon as they had begun")
                self._say(f"worker {index} died ({_how(process.exitcode)}); another takes its place")
                self._processes[index] = self._start(index)

    def _stop(self) -> None:
        for one in {one for mine in self._sockets for one in mine}:
            one.close()  # so that nobody is let in whom no worker will answer
        until = time.monotonic() + self._settings.grace + 5
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join(max(0.0, until - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()


def _how(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
