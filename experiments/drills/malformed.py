"""A service that is asked what nobody should ask: no answer of 500 or above, no crash, no memory that grows."""

import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import click

from .broken import BrokenRequest, drawn, posted

EVERY = 250  # broken requests between two good ones
GROWTH = 24 * 2**20  # bytes that a service may grow by, once it has seen a fifth of all


class Conversation(NamedTuple):
    """What became of one connection: the statuses that came back, and whether the other side ended it."""

    statuses: list[int]
    ended: bool


@click.command()
@click.option("--count", default=10_000, show_default=True, help="Broken requests of our own.")
@click.option("--examples", default=150, show_default=True, help="Of schemathesis, for each route and way of testing.")
@click.option("--seed", default=0, show_default=True)
@click.option("--workers", default=1, show_default=True)
def malformed(count: int, examples: int, seed: int, workers: int) -> None:
    """Send broken requests to `rlbench serve`, then let schemathesis try what its OpenAPI document says."""
    from ..bench.serve import network

    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        file = network(Path(folder) / "policy.onnx", 64)
        good = {"obs": [0.03, 0.21, -0.04, -0.35, 0.11, 0.02, 0.0, 1.0]}
        with service(file, "--workers", str(workers), "--body-timeout", "2") as (url, pid):
            wrong += broken(url, pid, seed, count, good)
            wrong += documented(url, examples, seed)
            wrong += still_answers(url, good)
    for line in wrong:
        click.echo(line, err=True)
    click.echo(f"{len(wrong)} things went wrong")
    sys.exit(bool(wrong))


def broken(url: str, pid: int, seed: int, count: int, good: dict[str, Any]) -> list[str]:
    """Send our own; gives what went wrong."""
    wrong: list[str] = []
    statuses: Counter[int] = Counter()
    silent: Counter[str] = Counter()
    early, began = 0, time.monotonic()
    for i, request in enumerate(drawn(seed, count, good)):
        if i == count // 5:
            early = resident(pid)
        if i % EVERY == 0:
            wrong += still_answers(url, good)
        outcome = sent(url, request)
        statuses.update(outcome.statuses)
        if any(status >= 500 for status in outcome.statuses):
            wrong.append(f"request {i} of seed {seed} ({request.kind}) got {outcome.statuses}")
        if not outcome.statuses and request.ends != "gone":
            silent[request.kind] += 1
    late = resident(pid)
    click.echo(f"{count:,} broken requests in {time.monotonic() - began:.0f} s")
    click.echo("  statuses: " + ", ".join(f"{status}: {n:,}" for status, n in sorted(statuses.items())))
    click.echo("  ended without an answer: " + (", ".join(f"{k}: {n}" for k, n in silent.items()) or "none"))
    click.echo(f"  memory after a fifth of them {early / 2**20:.0f} MiB, after all {late / 2**20:.0f} MiB")
    if late - early > GROWTH:
        wrong.append(f"memory grew by {(late - early) / 2**20:.0f} MiB")
    return wrong


def sent(url: str, request: BrokenRequest) -> Conversation:
    """Send one in a connection of its own, and read what comes back."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    said, ended = b"", False
    with socket.create_connection((host, int(port)), timeout=10) as one:
        try:
            for part in request.parts:
                one.sendall(part)
                if request.pause:
                    time.sleep(request.pause)
            if request.ends == "gone":
                return Conversation([], False)
            if request.ends == "half":
                one.shutdown(socket.SHUT_WR)
            while not (request.ends == "waits" and _whole(said)):
                more = one.recv(1 << 16)
                if not more:
                    ended = True
                    break
                said += more
        except TimeoutError:
            pass
        except OSError:  # it was ended while we were sending
            ended = True
    return Conversation([int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", said)], ended)


def _whole(said: bytes) -> bool:
    """Whether a whole answer is there."""
    head, end, body = said.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    return bool(end) and length is not None and len(body) >= int(length[1])


def still_answers(url: str, good: dict[str, Any]) -> list[str]:
    """Nothing, if a good request is answered."""
    import json

    outcome = sent(url, BrokenRequest("good", [posted(json.dumps(good).encode())]))
    return [] if outcome.statuses == [200] else [f"a good request got {outcome.statuses or 'no answer'}"]


def documented(url: str, examples: int, seed: int, *leave_out: str) -> list[str]:
    """What schemathesis finds; it tries what the document allows, and what it does not. Some checks may be left out."""
    if not find_spec("schemathesis"):
        return ["schemathesis is not installed, and half of the drill was left out. Run: pip install schemathesis"]
    words = ["run", f"{url}/openapi.json", "--max-examples", str(examples), "--seed", str(seed)]
    if leave_out:
        words += ["--exclude-checks", ",".join(leave_out)]
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", *words],
        capture_output=True, text=True, check=False, cwd=tempfile.gettempdir(),
    )  # fmt: skip
    cases = re.search(r"([\d,]+) generated.*", done.stdout)
    click.echo(f"schemathesis: {cases[0] if cases else done.stdout.strip()[-300:] or done.stderr.strip()[-300:]}")
    if done.returncode == 0:
        return []
    found = re.findall(r"^- (.*)$", done.stdout, re.MULTILINE) or [done.stdout.strip()[-300:]]
    return [f"schemathesis: {line}" for line in found]


@contextmanager
def service(file: Path, *words: str) -> Iterator[tuple[str, int]]:
    """`rlbench serve`; gives its URL and its process. It ends by SIGTERM, with nothing to say."""
    command = [sys.executable, "-m", "rlbench", "serve", str(file), "--port", "0", *words]
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
            assert process.stdout is not None
            found = next((at for line in process.stdout if (at := re.search(r"http://\S+:\d+", line))), None)
            try:
                if found:
                    yield found[0], process.pid
            finally:
                process.terminate()
                process.wait()
        errors.seek(0)
        said = errors.read().strip()
    if process.returncode or said or not found:
        raise click.ClickException(f"the service ended with exit code {process.returncode}: {said[-2000:]}")


def resident(pid: int) -> int:
    """Bytes in memory of a process and those that it started; 0 where that is not known."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:  # it has ended
            continue
        if status.parent.name == str(pid) or f"PPid:\t{pid}\n" in text:
            kib = re.search(r"VmRSS:\s+(\d+)", text)
            total += int(kib[1]) * 1024 if kib else 0
    return total
