"""One worker: uvicorn, with limits to what a connection may do, and signals that end it as a service ends.

uvicorn waits for a request as long as its client likes, and reads a head of any length. Here a whole request arrives in
time, and its head is short, or the connection is closed.
"""

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ..units import byte_size
from .answering import Answering
from .app import ServiceApp
from .refused import Refused
from .settings import Settings
from .sockets import BACKLOG
from .state import SharedState

LONGEST_HEAD = 32 * 2**10  # bytes: request line and headers
IDLE = 75  # seconds that a connection is kept open between requests; proxies reuse theirs
EVERY = 2  # of uvicorn's ticks, a tenth of a second each: looking round for what is late, and for another policy


class Outlet:
    """A transport that drops what is written once its client has gone, as uvloop's does not."""

    __slots__ = ("_inner", "close", "get_extra_info", "is_closing", "pause_reading", "resume_reading", "set_protocol")

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.close, self.is_closing, self.get_extra_info = inner.close, inner.is_closing, inner.get_extra_info
        self.set_protocol = inner.set_protocol
        self.pause_reading, self.resume_reading = inner.pause_reading, inner.resume_reading

    def write(self, data: bytes) -> None:
        if not self._inner.is_closing():
            self._inner.write(data)


class Connection(HttpToolsProtocol):
    """A connection whose requests arrive in time, with a short head."""

    late_after: float
    answering: Answering

    def connection_made(self, transport: Any) -> None:
        super().connection_made(Outlet(transport))  # type: ignore[arg-type]
        self._since: float | None = self.loop.time()  # a request is awaited, or on its way
        self._head = 0  # bytes of its head so far; -1: it is complete
        self._ending = False  # nothing more is read

    def on_message_begin(self) -> None:
        self._since, self._head = self.loop.time(), 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._head = -1

    def on_message_complete(self) -> None:
        self._since = None
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        if self._since is None:
            self._since, self._head = self.loop.time(), 0
        super().data_received(data)
        if self._head >= 0 and self._since is not None:
            self._head += len(data)
            if self._head > LONGEST_HEAD:
                self._end(431, f"the head of a request is at most {byte_size(LONGEST_HEAD)} long")

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client has said all; gives whether it is still to be answered."""
        if self._is_answering() and (self._since is None or self._head >= 0):
            self.cycle.keep_alive, self._ending = False, True
            return True
        return False

    def send_400_response(self, msg: str) -> None:
        self._end(400, "this is no HTTP/1.1 request")

    def close_if_late(self, now: float) -> None:
        """Called now and then."""
        if self._since is not None and now - self._since > self.late_after:
            self._end(408, f"a request arrives within {self.late_after:g} seconds, or is not answered")

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _end(self, status: int, detail: str) -> None:
        """Close it. Its client is told why, unless it sent nothing, or is told something else at the moment."""
        own = self._head < 0 and self._since is not None  # it is about the body of the request that came last
        silent = self.cycle is None and self._head == 0 and status == 408
        self._since, self._ending = None, True
        if self._is_answering() and not own:
            self.cycle.keep_alive = False  # those before it are answered first
            return
        if not silent and not (own and (self.cycle.response_started or self.pipeline)):
            body = Refused(status, detail).body()
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + head + body)
            self.answering.counts.request("other", status)
        self.transport.close()


class Worker(uvicorn.Server):
    """A server that ends with what is under way answered, and tells by which signal.

    Args:
        config: of uvicorn.
        answering: of this worker.
        signals: that end it; a second one ends it at once.
        ready: is called once it takes requests.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        answering: Answering,
        signals: tuple[signal.Signals, ...],
        ready: Callable[[], object],
    ) -> None:
        super().__init__(config)
        self._answering, self._signals, self._ready = answering, signals, ready
        self.ended_by = 0

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._end) for number in self._signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self, number: int, frame: object) -> None:
        self.force_exit = self.should_exit
        self.should_exit, self.ended_by = True, number

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._answering.state.ready(self._answering.state.index, True)
        self._ready()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        self._answering.state.ready(self._answering.state.index, False)
        await super().shutdown(sockets=sockets)

    async def on_tick(self, counter: int) -> bool:
        if counter % EVERY == 0:
            self._answering.sweep()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.close_if_late(connection.loop.time())
        return await super().on_tick(counter)


def serve(
    settings: Settings,
    sockets: list[socket],
    index: int = 0,
    signals: tuple[signal.Signals, ...] = (signal.SIGTERM,),
    ready: Callable[[], object] = lambda: None,
) -> int:
    """Answer until a signal comes; gives its number.

    Args:
        settings: of the service.
        sockets: that listen.
        index: of this worker.
        signals: that end it.
        ready: is called once it takes requests.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # it warns of every broken request
    answering = Answering(settings, SharedState(settings.state, settings.workers, index))
    protocol = type("Connection", (Connection,), {"late_after": settings.body_timeout, "answering": answering})
    config = uvicorn.Config(
        ServiceApp(answering), http=protocol, ws="none", lifespan="off", log_config=None, access_log=False,
        proxy_headers=False, server_header=False, timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=int(settings.grace), backlog=BACKLOG,
    )  # fmt: skip
    worker = Worker(config, answering, signals, ready)
    worker.run(sockets=sockets)
    return worker.ended_by
