"""The service beside itself: with requests that arrive together computed together, and with each computed at once."""

import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import click

LOADER = "apt-get install wrk, or from https://github.com/wg/wrk"
REQUEST = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"obs": [0.03, 0.21, -0.04, -0.35, 0.11, 0.02, 0.0, 1.0]}'
"""
HOW = {"together": (), "alone": ("--batch-wait", "0")}  # "alone": computed in the event loop as soon as it is read


class Load(NamedTuple):
    """What one run of wrk found: requests per second, milliseconds, answers that were no 200 or did not come."""

    rate: float
    p50: float
    p99: float
    requests: int
    errors: int
    batch: float  # observations computed together, on average
    cpu: float  # microseconds of CPU time that the service took for a request; NaN where that is not known


@click.command()
@click.option("--hidden", default="64,256", show_default=True, help="Widths of two hidden layers, one after the other.")
@click.option("--workers", default="1", show_default=True, help="How many, one after the other.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=8, show_default=True, help="Of each measurement.")
@click.option("--connections", default=32, show_default=True)
def serve(hidden: str, workers: str, rounds: int, seconds: int, connections: int) -> None:
    """Requests per second of `rlbench serve` at a network of two layers, batching on and off in turns.

    On the loopback, with connections kept alive, by wrk in one thread on the same machine. "alone" computes each
    request in the event loop as soon as it is read, which for small networks is quicker than a pool of threads.
    """
    if not shutil.which("wrk"):
        raise click.ClickException(f"this needs wrk, a program that asks a lot. Install it: {LOADER}")
    click.echo(
        f"{connections} connections, {rounds} rounds of {seconds} s, Python {platform.python_version()}, "
        f"{platform.machine()}; rates are medians [least, most]"
    )
    for count in map(int, workers.split(",")):
        for width in map(int, hidden.split(",")):
            _compare(width, count, rounds, seconds, connections)


def _compare(width: int, workers: int, rounds: int, seconds: int, connections: int) -> None:
    found: dict[str, list[Load]] = {how: [] for how in HOW}
    with tempfile.TemporaryDirectory() as folder:
        script, file = Path(folder) / "request.lua", network(Path(folder) / "policy.onnx", width)
        script.write_text(REQUEST)
        for _ in range(rounds):
            for how, words in HOW.items():
                with served(file, "--workers", str(workers), *words) as (url, pid):
                    load(url, pid, script, 1, connections)  # warm
                    found[how].append(load(url, pid, script, seconds, connections))
    click.echo(f"{width}/{width}, {workers} worker{'s' * (workers > 1)}")
    for how, loads in found.items():
        rates = [one.rate for one in loads]
        click.echo(
            f"  {how:10}{statistics.median(rates):>8,.0f}/s [{min(rates):,.0f}, {max(rates):,.0f}]"
            f"  p50 {statistics.median(one.p50 for one in loads):.1f} ms"
            f"  p99 {statistics.median(one.p99 for one in loads):.1f} ms (at most {max(one.p99 for one in loads):.1f})"
            f"  {sum(one.errors for one in loads)} errors in {sum(one.requests for one in loads):,} requests"
            f"  {statistics.median(one.batch for one in loads):.1f} in a batch"
            f"  {statistics.median(one.cpu for one in loads):.0f} us of CPU time each"
        )
    pairs = list(zip(found["together"], found["alone"], strict=True))
    for what, ratios in (
        ("requests per second", [a.rate / b.rate for a, b in pairs]),
        ("requests per second of CPU time", [b.cpu / a.cpu for a, b in pairs]),
    ):
        told_apart = f"{statistics.median(ratios):.2f} times [{min(ratios):.2f}, {max(ratios):.2f}]"
        click.echo(f"  together / alone: {told_apart} {what}")


@contextmanager
def served(file: Path, *words: str) -> Iterator[tuple[str, int]]:
    """`rlbench serve` in a process of its own; gives its URL, and its number."""
    command = [sys.executable, "-m", "rlbench", "serve", str(file), "--port", "0", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if at := re.search(r"http://\S+:\d+", line):
                    yield at[0], process.pid
                    break
            else:
                assert process.stderr is not None
                raise click.ClickException(process.stderr.read().strip())
        finally:
            process.terminate()
            process.communicate()
    if process.returncode:
        raise click.ClickException(f"the service ended with exit code {process.returncode}")


def load(url: str, pid: int, script: Path, seconds: int, connections: int) -> Load:
    """Ask as fast as answers come."""
    before, spent = _batches(url), cpu_seconds(pid)
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency", "-s", str(script), f"{url}/predict"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise click.ClickException(f"wrk: {done.stderr.strip() or done.stdout.strip()}")
    after, spent = _batches(url), cpu_seconds(pid) - spent
    computed = after[1] - before[1]
    return told(done.stdout, (after[0] - before[0]) / computed if computed else 0.0, spent)


def told(text: str, batch: float, spent: float) -> Load:
    """What wrk prints, as numbers; ``spent`` are seconds of CPU time."""

    def number(pattern: str, otherwise: str = "") -> str:
        at = re.search(pattern, text)
        if at is None and not otherwise:
            raise click.ClickException(f"wrk printed something else than expected: {text}")
        return at[1] if at else otherwise

    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    requests = int(number(r"(\d+) requests in"))
    return Load(
        rate=float(number(r"Requests/sec:\s+([\d.]+)")),
        p50=_milliseconds(number(r"\n +50% +(\S+)")),
        p99=_milliseconds(number(r"\n +99% +(\S+)")),
        requests=requests,
        errors=int(number(r"Non-2xx or 3xx responses: (\d+)", "0"))
        + sum(map(int, sockets.groups() if sockets else ())),
        batch=batch,
        cpu=1e6 * spent / requests if requests else float("nan"),
    )


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and of those that it started so far; NaN where there is no /proc."""
    total = 0.0 if Path("/proc/self/stat").exists() else float("nan")
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if pid in (int(stat.parent.name), int(fields[1])):
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def _milliseconds(text: str) -> float:
    value, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()  # type: ignore[union-attr]
    return float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def _batches(url: str) -> tuple[float, float]:
    """Observations that were computed so far, and in how many batches."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    sums = dict(re.findall(r"rlbench_batch_observations_(sum|count) (\S+)", text))
    return float(sums["sum"]), float(sums["count"])


def network(path: Path, width: int) -> Path:
    """A policy file: eight numbers, two hidden layers, Q-values of four actions, the largest is the action."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from rlbench.policyfile.metadata import KEY, Box, Discrete, Metadata, Port

    rng, sizes = np.random.default_rng(0), (8, width, width, 4)
    nodes, weights, last = [], [], "obs"
    for i, (n, m) in enumerate(pairwise(sizes)):
        weights.append(numpy_helper.from_array((rng.normal(size=(n, m)) / n**0.5).astype(np.float32), f"w{i}"))
        weights.append(numpy_helper.from_array(np.zeros(m, np.float32), f"b{i}"))
        made = "q_values" if m == sizes[-1] else f"z{i}"
        nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [made]))
        if made != "q_values":
            nodes.append(helper.make_node("Relu", [made], [f"h{i}"]))
        last = f"h{i}"
    nodes.append(helper.make_node("ArgMax", ["q_values"], ["action"], axis=1, keepdims=0))
    obs = Port(name="obs", role="obs", shape=(8,), dtype="float32")
    action = Port(name="action", role="action", shape=(), dtype="int64")
    values = Port(name="q_values", role="shown", shape=(4,), dtype="float32")
    types = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
    graph = helper.make_graph(
        nodes, "policy",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, ["B", 8])],
        [helper.make_tensor_value_info(port.name, types[port.dtype], ["B", *port.shape]) for port in (action, values)],
        initializer=weights,
    )  # fmt: skip
    metadata = Metadata(
        env="LunarLander-v3", agent="dqn", seeds=[0], env_steps=0, checkpoint="0" * 64,
        obs=Box(shape=(8,), dtype="float32"), action=Discrete(n=4), inputs=[obs], outputs=[action, values], versions={},
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {KEY: metadata.text()})
    onnx.save(model, path)
    return path
