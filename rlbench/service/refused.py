"""A request that is not answered as it was meant: which status it gets, and the one line that says why."""

from collections.abc import Sequence

import orjson


class Refused(Exception):
    """What a client is told instead of an answer.

    Args:
        status: of HTTP.
        detail: one line: what was expected, and what came.
        headers: further ones of the response.
    """

    def __init__(self, status: int, detail: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, list(headers)

    def body(self) -> bytes:
        return orjson.dumps({"detail": self.detail})
