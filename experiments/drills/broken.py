"""Requests that nobody should send, drawn at random: broken JSON, broken HTTP, values of the wrong kind.

What is drawn depends on the seed alone, so a request that did harm can be sent again.
"""

import gzip
import json
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

HUGE = 10**400


class BrokenRequest(NamedTuple):
    """One connection's worth of harm.

    Attributes:
        kind: what is wrong with it.
        parts: what is sent, one after the other, with ``pause`` seconds in between.
        ends: how the client goes on once it has sent all: "waits" for answers, "half" closes its side, or is "gone".
        pause: seconds.
    """

    kind: str
    parts: list[bytes]
    ends: str = "waits"
    pause: float = 0.0


Draw = Callable[[random.Random, dict[str, Any]], BrokenRequest]


def drawn(seed: int, count: int, good: dict[str, Any]) -> Iterator[BrokenRequest]:
    """So many of them, all kinds in turn.

    Args:
        seed: of what is drawn.
        count: how many.
        good: the body of a request that is answered, to be spoilt.
    """
    rng = random.Random(seed)
    kinds = [*VALUES, *TEXTS, *WIRES]
    for i in range(count):
        yield kinds[i % len(kinds)](rng, good)


def posted(body: bytes, *headers: str, path: str = "/predict", length: int | None = -1, media: bool = True) -> bytes:
    """A request as it stands on the wire; ``length`` of -1 is the true one, None is none."""
    lines = [f"POST {path} HTTP/1.1", "Host: here", *headers]
    if media:
        lines.append("Content-Type: application/json")
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length == -1 else length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


# Values: JSON, but not what is asked for.

ODD: list[Callable[[random.Random], Any]] = [
    lambda rng: None, lambda rng: True, lambda rng: "1", lambda rng: "", lambda rng: {}, lambda rng: [],
    lambda rng: [[]], lambda rng: rng.uniform(-1e6, 1e6),
    lambda rng: HUGE, lambda rng: -HUGE, lambda rng: 1e308, lambda rng: -1e39, lambda rng: 2**63, lambda rng: 5e-324,
    lambda rng: float("nan"), lambda rng: float("inf"), lambda rng: {"a": {"b": [1]}}, lambda rng: "\x00\ud83d",
    lambda rng: [0] * rng.randrange(1, 3000), lambda rng: "x" * rng.randrange(1, 3000),
    lambda rng: [[rng.random()] * rng.randrange(5) for _ in range(rng.randrange(5))],
]  # fmt: skip


def _spoilt(rng: random.Random, value: Any) -> Any:
    """A copy with something odd at a random place."""
    if rng.random() < 0.25 or not isinstance(value, dict | list) or not value:
        return rng.choice(ODD)(rng)
    if isinstance(value, dict):
        key = rng.choice(list(value))
        spoilt = {**value, key: _spoilt(rng, value[key])}
        if rng.random() < 0.2:
            del spoilt[key]
        if rng.random() < 0.2:
            spoilt[rng.choice(["x", "", "obs", "observations", "session", "\x00", "action_mask", "memory"])] = 1
        return spoilt
    i = rng.randrange(len(value))
    return [*value[:i], _spoilt(rng, value[i]), *value[i + rng.randrange(2) :]]


def wrong_value(rng: random.Random, good: dict[str, Any]) -> BrokenRequest:
    return BrokenRequest("wrong value", [posted(json.dumps(_spoilt(rng, good)).encode())])


def wrong_batch(rng: random.Random, good: dict[str, Any]) -> BrokenRequest:
    batch = [good["obs"] if rng.random() < 0.7 else _spoilt(rng, good["obs"]) for _ in range(rng.randrange(0, 40))]
    content: dict[str, Any] = {"observations": batch}
    for key in ("action_masks", "memory", "session", "begin"):
        if rng.random() < 0.2:
            content[key] = rng.choice(ODD)(rng)
    return BrokenRequest("wrong batch", [posted(json.dumps(content).encode())])


def twice(rng: random.Random, good: dict[str, Any]) -> BrokenRequest:
    first, second = json.dumps(_spoilt(rng, good["obs"])), json.dumps(_spoilt(rng, good["obs"]))
    return BrokenRequest("a key twice", [posted(f'{{"obs": {first}, "obs": {second}}}'.encode())])


def large(rng: random.Random, good: dict[str, Any]) -> BrokenRequest:
    array = b"[" + b"0," * rng.randrange(10_000, 60_000) + b"0]"
    return BrokenRequest("a huge array", [posted(b'{"obs": ' + array + b"}")])


# Texts: no JSON at all.


def deep(rng: random.Random, good: dict[str, Any]) -> BrokenRequest:
    depth, opening = rng.choice([10, 100, 1000, 1025, 50_000]), rng.choice(["[", '{"a":', '[{"a":['])
    body = '{"obs": ' + opening * depth
    if rng.random() < 0.5:
        body += "".join("]" if c == "[" else "}" for c in reversed(opening * depth) if c in "[{") + "}"
    return BrokenRequest("nested deeply", [posted(body.encode())])


def cut(rng: random.Random, good: dict[str, Any]) -> BrokenRequest:
    body = json.dumps(good).encode()
    return BrokenRequest("cut off", [posted(body[: rng.randrange(len(body))])])


def flipped(rng: random.Random, good: dict[str, Any]) -> BrokenRequest:
    body = bytearray(json.dumps(good).encode())
    for _ in range(rng.randrange(1, 6)):
        body[rng.randrange(len(body))] = rng.randrange(256)
    return BrokenRequest("bytes changed", [posted(bytes(body))])


def encoded(rng: random.Random, good: dict[str, Any]) -> BrokenRequest:
    body = json.dumps(good)
    how = rng.choice(["utf-16", "utf-32", "utf-8-sig", "gzip", "claimed", "latin-1", "utf-7"])
    if how == "gzip":
        return BrokenRequest(f"as {how}", [posted(gzip.compress(body.encode()), "Content-Encoding: gzip")])
    if how == "claimed":
        return BrokenRequest(
            "as claimed", [posted(body.encode(), "Content-Encoding: " + rng.choice(["br", "x", "gzip"]))]
        )
    if how == "latin-1":
        return BrokenRequest("as latin-1", [posted('{"obs": "é", "ü": 1}'.encode(how))])
    return BrokenRequest(f"as {how}", [posted(body.encode(how))])


def number(rng: random.Random, good: dict[str, Any]) -> BrokenRequest:
    text = rng.choice(
        ["1e999", "-1e999", "NaN", "-Infinity", "0x10", "01", "+1", ".5", "1.", "1e", "9" * 5000, "1_0", "١"]
    )
    return BrokenRequest("an odd number", [posted(f'{{"obs": [{text}, 0, 0, 0]}}'.encode())])


def noise(rng: random.Random, good: dict[str, Any]) -> BrokenRequest:
    return BrokenRequest("noise as a body", [posted(rng.randbytes(rng.randrange(0, 2000)))])


# Wires: no HTTP, or not as it should be.


def wrong_length(rng: random.Random, good: dict[str, Any]) -> BrokenRequest:
    body = json.dumps(good).encode()
    length = rng.choice(["0", "1", str(len(body) - 1), "-1", "abc", "", "1e3", "0x10", "9" * 30, f"{len(body)}, 5"])
    return BrokenRequest("wrong Content-Length", [posted(body, f"Content-Length: {length}", length=None)], "half")


def too_long(rng: random.Random, good: dict[str, Any]) -> BrokenRequest:
    length = rng.choice([5_000_000, 10**9, 10**12])
    return BrokenRequest("more promised than sent", [posted(b"{", length=length)], "half")


def two_lengths(rng: random.Random, good: dict[str, Any]) -> BrokenRequest:
    body = json.dumps(good).encode()
    more = rng.choice(["Content-Length: 5", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked"])
    return BrokenRequest("two lengths", [posted(body, more)], "half")


def chunks(rng: random.Random, good: dict[str, Any]) -> BrokenRequest:
    size = rng.choice([b"zz", b"-1", b"", b"ffffffffffffffffff", b"5;" + b"a" * 5000, b"0", b"3"])
    body = size + b"\r\n" + rng.randbytes(rng.randrange(20)) + rng.choice([b"", b"\r\n", b"\r\n0\r\n\r\n"])
    return BrokenRequest("broken chunks", [posted(body, "Transfer-Encoding: chunked", length=None)], "half")


def first_line(rng: random.Random, good: dict[str, Any]) -> BrokenRequest:
    line = rng.choice([
        b"GET", b"GET /", b"GET / HTTP/9.9", b"get / http/1.1", b"POST  /predict HTTP/1.1", b"BREW /predict HTTP/1.1",
        b"GET http://[::1 HTTP/1.1", b"GET /%00%ff%2e%2e/ HTTP/1.1", b"GET //../../etc/passwd HTTP/1.1",
        b"\r\n\r\n\r\n", b"\x00" * 50,
        b"GET /\xff\xfe HTTP/1.1", b"PRI * HTTP/2.0", b"OPTIONS * HTTP/1.1", b"CONNECT a:1 HTTP/1.1",
        b"HEAD /predict HTTP/1.1",
        b"DELETE /predict HTTP/1.1", b"PUT /spec HTTP/1.1", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1", b"POST /sessions/%F0%9F/reset HTTP/1.1", b"GET /metrics?\xff HTTP/1.1",
    ])  # fmt: skip
    return BrokenRequest("an odd first line", [line + b"\r\nHost: here\r\n\r\n"], "half")


def heads(rng: random.Random, good: dict[str, Any]) -> BrokenRequest:
    header = rng.choice([
        "X: " + "a" * 50_000, "\r\n".join(f"X{i}: 1" for i in range(3000)), "X" * 5000 + ": 1", "no colon", ": empty",
        "X: a\x00b", " folded: 1", "X:\x0b1", "Upgrade: websocket\r\nConnection: Upgrade",
        "Upgrade: h2c\r\nConnection: Upgrade", "Authorization: Bearer \xff\x00",
        "Expect: 100-continue", "Expect: 200-ok", "Host: other", "Connection: close, \xff",
        "Content-Type: text/plain", "Content-Type: application/json; charset=\xff", "Transfer-Encoding: \x00chunked",
    ])  # fmt: skip
    path = rng.choice(["/predict", "/predict", "/reload", "/sessions/a/reset", "/spec"])
    return BrokenRequest("odd headers", [posted(json.dumps(good).encode(), header, path=path)], "half")


def no_media(rng: random.Random, good: dict[str, Any]) -> BrokenRequest:
    return BrokenRequest("not said to be JSON", [posted(json.dumps(good).encode(), media=False)])


def leaves(rng: random.Random, good: dict[str, Any]) -> BrokenRequest:
    whole = posted(json.dumps(good).encode())
    return BrokenRequest("gone before the answer", [whole[: rng.randrange(1, len(whole) + 1)]], "gone")


def halves(rng: random.Random, good: dict[str, Any]) -> BrokenRequest:
    whole = posted(json.dumps(good).encode())
    return BrokenRequest("closed on one side", [whole[: rng.randrange(1, len(whole) + 1)]], "half")


def pipelined(rng: random.Random, good: dict[str, Any]) -> BrokenRequest:
    whole = posted(json.dumps(good).encode())
    after = rng.choice([b"nonsense\r\n\r\n", b"\x00\x00", b"GET / HTTP/1.1\r\nX: \x00\r\n\r\n", whole[:20], whole * 50])
    return BrokenRequest("nonsense behind a request", [whole * rng.randrange(1, 4) + after], "half")


def drips(rng: random.Random, good: dict[str, Any]) -> BrokenRequest:
    whole = posted(json.dumps(_spoilt(rng, good)).encode())
    cuts = sorted(rng.randrange(len(whole)) for _ in range(3))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    return BrokenRequest("a bit at a time", parts, "waits" if rng.random() < 0.7 else "gone", pause=0.005)


VALUES: list[Draw] = [wrong_value, wrong_batch, twice, large]
TEXTS: list[Draw] = [deep, cut, flipped, encoded, number, noise]
WIRES: list[Draw] = [
    wrong_length, too_long, two_lengths, chunks, first_line, heads, no_media, leaves, halves, pipelined, drips,
]  # fmt: skip
