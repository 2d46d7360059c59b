"""Requests that arrive together are computed together, and none waits for long.

A batch is open from its first request on, and computed as soon as it is full, as its first request has waited for as
long as any may, or as a turn of the event loop brought nobody new. So a request that comes alone hardly waits, and the
more come, the larger the batches are: while one is computed, the next gathers in the sockets.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")

QUIET = 1  # turns of the loop without anybody new: what a socket brings takes one to become a request


class Batcher(Generic[Q, A]):
    """Gathers what is asked in one event loop.

    Args:
        compute: gives an answer for each of those that were asked.
        most: size of what is computed together; with the last that was asked it may be more.
        wait: seconds that one waits at most before its batch is computed.
    """

    def __init__(self, compute: Callable[[Sequence[Q]], Sequence[A]], most: int, wait: float) -> None:
        self._compute, self._most, self._wait = compute, most, wait
        self._asked: list[Q] = []
        self._futures: list[asyncio.Future[A]] = []
        self._size, self._serial, self._until = 0, 0, 0.0

    def ask(self, asked: Q, size: int) -> "asyncio.Future[A]":
        """What becomes the answer."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        self._asked.append(asked)
        self._futures.append(future)
        self._size += size
        if self._size >= self._most:
            self._answer()
        elif len(self._asked) == 1:
            self._until = loop.time() + self._wait
            loop.call_soon(self._turn, loop, self._serial, 0, QUIET)
        return future

    def _turn(self, loop: asyncio.AbstractEventLoop, serial: int, seen: int, quiet: int) -> None:
        """Once in every turn of the loop, while a batch is open."""
        if serial != self._serial:
            return
        if len(self._asked) > seen:
            quiet = QUIET
        if quiet == 0 or loop.time() >= self._until:
            self._answer()
        else:
            loop.call_soon(self._turn, loop, serial, len(self._asked), quiet - 1)

    def _answer(self) -> None:
        asked, futures = self._asked, self._futures
        self._asked, self._futures, self._size = [], [], 0
        self._serial += 1
        try:
            answers = self._compute(asked)
        except Exception as e:
            for future in futures:
                if not future.done():
                    future.set_exception(e)
            return
        for future, answer in zip(futures, answers, strict=True):
            if not future.done():  # its client has gone
                future.set_result(answer)
