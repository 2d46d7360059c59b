"""The body of a request, as far as it is let in."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from ..units import byte_size
from .refused import Refused

DRAINED = 8  # times the largest body that is taken: so much of a larger one is read, for the client to hear why not


async def body_of(
    headers: Iterable[tuple[bytes, bytes]], receive: Callable[[], Awaitable[MutableMapping[str, Any]]], most: int
) -> bytes | None:
    """The bytes of a JSON body; None where the client went away.

    Args:
        headers: of the request, their names in small letters.
        receive: of ASGI.
        most: bytes that are let in.

    Raises:
        Refused: 413 where it is larger, 415 where it is not said to be JSON.
    """
    length, media = None, b""
    for name, value in headers:
        if name == b"content-length":
            length = int(value) if value.isdigit() else None
        elif name == b"content-type":
            media = value
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise Refused(415, f"the body is {value.decode('latin-1')[:40]}: send it as it is")
    if length is not None and length > DRAINED * most:
        raise _too_large(most, [(b"connection", b"close")])
    message = await receive()
    body, size, over = message.get("body", b""), 0, False
    if message.get("more_body"):
        parts = [body]
        size = len(body)
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            size += len(message.get("body", b""))
            if size > DRAINED * most:
                raise _too_large(most, [(b"connection", b"close")])
            if size > most:
                over, parts = True, []
            else:
                parts.append(message.get("body", b""))
        body = b"".join(parts)
    elif message["type"] == "http.disconnect":
        return None
    if over or len(body) > most:
        raise _too_large(most)
    _check_media(media)
    return body


def _check_media(media: bytes) -> None:
    if media == b"application/json":
        return
    kind, *parameters = (part.strip().lower() for part in media.decode("latin-1").split(";"))
    if kind != "application/json":
        came = f"it is {kind[:60]}" if kind else "there is none"
        raise Refused(415, f"Content-Type: application/json is expected, and {came}")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip('"') not in ("utf-8", "utf8"):
            raise Refused(415, f"JSON is sent as UTF-8, and this is {value[:40]}")


def _too_large(most: int, headers: list[tuple[bytes, bytes]] | None = None) -> Refused:
    return Refused(413, f"the body is larger than {byte_size(most)}", headers or [])
