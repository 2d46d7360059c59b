"""The address that a service listens at: found and taken before anything else, so that what is wrong is one line."""

import errno
import os
import socket
import sys

from ..errors import RlbenchError, UsageError

BACKLOG = 2048  # connections that wait to be taken


class AddressTaken(RlbenchError):
    """Somebody else listens there, or may forbid it."""


def listen(host: str, port: int, workers: int) -> list[list[socket.socket]]:
    """Sockets that listen, for each worker those of its own.

    On Linux every worker has its own queue of connections, among which the system deals them out; where workers wait
    at one queue, the one that wakes first takes nearly all.

    Args:
        host: a name or an address; "" is every address of this machine.
        port: 0 is any that is free.
        workers: how many.

    Raises:
        UsageError: an unknown host, or an address that is not of this machine.
        AddressTaken: the port is in use, or not for everybody.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as e:
        raise UsageError(f"--host {host}: no such host is known ({getattr(e, 'strerror', None) or e})") from e
    places = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    made: list[list[socket.socket]] = [[] for _ in range(workers)]
    failed: OSError | None = None
    for family, address in places:
        taken = next((sockets[0].getsockname()[1] for sockets in made if sockets), 0)
        where = (address[0], address[1] or taken, *address[2:])
        try:
            bound = _bound(family, where, workers)
        except OSError as e:
            failed = failed or e
            continue
        for mine, one in zip(made, bound, strict=True):
            mine.append(one)
    if failed and (not made[0] or failed.errno in (errno.EADDRINUSE, errno.EACCES)):
        for one in {one for mine in made for one in mine}:
            one.close()
        raise _why(failed, host, port)
    return made


def _bound(family: int, address: tuple[object, ...], workers: int) -> list[socket.socket]:
    """A socket for each worker; where they cannot have their own, one for all."""
    first = _open(family)
    try:
        first.bind(address)  # fails where anybody listens, were it with a queue of their own as well
        if workers == 1 or sys.platform != "linux":
            first.listen(BACKLOG)
            return [first] * workers
        address = (address[0], first.getsockname()[1], *address[2:])
    except OSError:
        first.close()
        raise
    first.close()
    made: list[socket.socket] = []
    try:
        for _ in range(workers):
            made.append(_open(family))
            made[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            made[-1].bind(address)
            made[-1].listen(BACKLOG)
    except OSError:
        for one in made:
            one.close()
        raise
    return made


def _open(family: int) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":  # elsewhere it would let others take the port as well
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return one


def _why(e: OSError, host: str, port: int) -> RlbenchError:
    if e.errno == errno.EADDRINUSE:
        return AddressTaken(f"port {port} of {host} is in use. Take another: --port {port + 1}, or --port 0 for any")
    if e.errno == errno.EACCES:
        return AddressTaken(
            f"port {port} is not for everybody: those below 1024 need a right. Take another: --port 8000"
        )
    if e.errno == errno.EADDRNOTAVAIL:
        return UsageError(
            f"--host {host}: no address of this machine. 127.0.0.1 is for it alone, 0.0.0.0 for its networks too"
        )
    return AddressTaken(f"cannot listen at {host}, port {port}: {e.strerror or e}")


def url(sockets: list[socket.socket]) -> str:
    """Where to ask."""
    host, port = sockets[0].getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
