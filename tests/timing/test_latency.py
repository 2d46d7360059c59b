"""Latency: percentiles of known numbers, the loop by a clock that is told what to show, a gate that a slow one fails.

No test looks at how long anything takes.
"""

import contextlib
import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import policy_files
import pytest
from command import mistake, rlbench, succeeds

from rlbench.errors import RlbenchError, UsageError
from rlbench.plots.latencies import _ticks, draw_latencies
from rlbench.policyfile.metadata import Box, Dict, Discrete, Port, Tuple
from rlbench.policyfile.opened import open_policy
from rlbench.timing import latency, stopwatch
from rlbench.timing.asked import Asking, drawn, load, save
from rlbench.timing.candidates import FileCandidate, Serving
from rlbench.timing.latency import Entrant, Measured, gate, measure, times_of
from rlbench.timing.latency_report import LatencyReport, curves, document, lines


class Clock:
    """Shows times that are ``step`` apart, and what ``take`` adds."""

    def __init__(self, step: int = 0) -> None:
        self.now, self.step = 0, step

    def __call__(self) -> int:
        self.now += self.step
        return self.now

    def take(self, nanoseconds: int) -> None:
        self.now += nanoseconds


def test_percentiles_are_calls_that_were_made() -> None:
    first = [list(range(1, 51)), list(range(51, 101))]  # nanoseconds 1 to 100, of two rounds
    own = [[2 * x for x in one] for one in first]
    found = times_of(4, own, first)
    assert (found.p50, found.p95, found.p99) == pytest.approx((100e-9, 190e-9, 198e-9))
    assert found.calls == 100
    assert found.per_second == pytest.approx(4 / 101e-9)  # of a batch of four, in 101 ns on average
    assert found.of_first == pytest.approx(2.0)
    assert found.rounds == pytest.approx((51e-9, 151e-9))


def test_the_ratio_is_of_what_was_measured_in_the_same_round() -> None:
    """A machine that is slow in one round is slow for both."""
    first = [[10], [1000], [10]]
    own = [[20], [2000], [500]]
    assert times_of(1, own, first).of_first == pytest.approx(2.0)


def test_each_call_is_timed_by_itself() -> None:
    clock, seen = Clock(step=1), list[Any]()

    def call(given: int) -> None:
        seen.append((given, gc.isenabled()))
        clock.take(given)

    assert stopwatch.timed(call, [100, 200, 300], 5, clock) == [101, 201, 301, 101, 201]
    assert [given for given, _ in seen] == [100, 200, 300, 100, 200]
    assert not any(collected for _, collected in seen)
    assert gc.isenabled()


def test_what_is_done_between_calls_is_not_counted() -> None:
    clock = Clock(step=7)
    assert stopwatch.timed(lambda given: None, [None], 4, clock) == [7, 7, 7, 7]
    assert stopwatch.overhead(clock) == 7


def test_warming_up_goes_on_until_it_is_time_and_enough() -> None:
    clock, calls = Clock(), list[int]()

    def call(nanoseconds: int) -> None:
        calls.append(nanoseconds)
        clock.take(nanoseconds)

    assert stopwatch.warmed_up(call, [1_000_000], 0.1, clock) == 1_000_000
    assert len(calls) == 100
    calls.clear()
    assert stopwatch.warmed_up(call, [10**9], 0.1, clock) == 10**9
    assert len(calls) == stopwatch.FEWEST


def test_only_what_is_warm_counts() -> None:
    clock, left = Clock(), iter([10**9] * 10)
    assert stopwatch.warmed_up(lambda given: clock.take(next(left, 5)), [None], 0.0, clock) == 5


@pytest.mark.parametrize(("seconds", "each", "count"), [(0.1, 1e6, 100), (0.1, 1e9, 20), (10.0, 10.0, 100_000)])
def test_how_many_calls_fit(seconds: float, each: float, count: int) -> None:
    assert stopwatch.calls_for(seconds, each) == count


NESTED = Dict(
    spaces={"a.b": Box(shape=(2,), dtype="float32"), "c": Tuple(spaces=[Discrete(n=3), Box(shape=(1,), dtype="uint8")])}
)


def test_observations_go_from_process_to_process(tmp_path: Path) -> None:
    inputs = [
        Port(name="obs.a.b", role="obs", shape=(2,), dtype="float32"),
        Port(name="obs.c.0", role="obs", shape=(), dtype="int64"),
        Port(name="obs.c.1", role="obs", shape=(1,), dtype="uint8"),
        Port(name="action_mask", role="mask", shape=(2,), dtype="bool"),
    ]
    outputs = [Port(name="action", role="action", shape=(), dtype="int64")]
    asking = drawn(policy_files.described(inputs, outputs, obs=NESTED))
    assert list(asking.inputs) == [port.name for port in inputs]
    save(asking, tmp_path / "a.npz")
    found = load(tmp_path / "a.npz")
    for name, array in asking.inputs.items():
        np.testing.assert_array_equal(found.inputs[name], array)
        assert found.inputs[name].dtype == array.dtype
    one = found.observation(NESTED, 3)
    assert one["a.b"].tolist() == asking.inputs["obs.a.b"][3].tolist()
    assert (one["c"][0], one["c"][1].tolist()) == (asking.inputs["obs.c.0"][3], asking.inputs["obs.c.1"][3].tolist())


def test_too_few_observations_are_repeated() -> None:
    few = Asking({"obs": np.arange(3)}, "here")
    assert few.at_least(7).inputs["obs"].tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2]
    assert few.at_least(3) is few
    assert few.rows(1, 2)["obs"].tolist() == [1, 2]


@pytest.mark.parametrize("kind", ["linear", "masked", "adding", "looked_up"])
def test_a_file_is_asked_what_its_user_would(kind: str, tmp_path: Path) -> None:
    """One by one and in a batch it gives the same actions, whether it takes a mask, or remembers."""
    path = getattr(policy_files, kind)(tmp_path / "a.onnx")
    file = open_policy(path)
    asking = drawn(file.metadata)
    save(asking, tmp_path / "asked.npz")
    candidate = FileCandidate(str(path), str(tmp_path / "asked.npz"), 1)
    call, inputs = candidate.prepared(1)
    ones: Any = [call(given) for given in inputs[:6]]
    many, batches = candidate.prepared(6)
    batch: Any = many(batches[0])
    assert batch["action"].shape[0] == 6
    if kind == "adding":  # six episodes side by side, and not six steps of one
        np.testing.assert_allclose(batch["action"], asking.inputs["obs"][:6, 1:3], rtol=1e-6)
        again: Any = many(batches[0])
        np.testing.assert_allclose(again["action"], 2 * asking.inputs["obs"][:6, 1:3], rtol=1e-6)
    else:
        assert list(batch["action"]) == list(ones)
        assert len(set(map(int, ones))) > 1


class Fake:
    """A candidate of known size."""

    nbytes = 1000

    def __init__(self) -> None:
        self.calls = 0

    def prepared(self, batch: int) -> Any:
        def call(given: int) -> None:
            self.calls += given

        return call, [batch]


def test_a_process_answers_its_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = iter([10_000, 50_000])
    monkeypatch.setattr("rlbench.timing.candidates.peak_memory", lambda: next(peaks))
    fake = Fake()
    serving = Serving(lambda **how: fake)
    assert set(serving.answer({"do": "open", "kind": "file", "path": "x"})) == {"seconds", "overhead"}
    assert serving.answer({"do": "warm", "batch": 3, "seconds": 0}) == {}
    assert fake.calls == 3 * stopwatch.FEWEST
    taken = serving.answer({"do": "measure", "batch": 3, "seconds": 0})["taken"]
    assert len(taken) == stopwatch.FEWEST
    assert serving.answer({"do": "memory"}) == {"bytes": 39_000}  # without the observations themselves


CANNED = {"quick.onnx": 100_000, "slow.onnx": 3_000_000}  # nanoseconds a call, for each observation of a batch


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that say they took what `CANNED` has."""

    class Apart:
        def __init__(self, label: str) -> None:
            self.label = label

        def ask(self, do: str, **request: Any) -> dict[str, Any]:
            if do == "measure":
                return {"taken": [CANNED[self.label] * request["batch"]] * 200}
            return {"seconds": 0.5, "overhead": 70.0, "bytes": 2**26}

    @contextlib.contextmanager
    def apart(label: str, threads: int) -> Iterator[Any]:
        yield Apart(label)

    monkeypatch.setattr(latency, "_apart", apart)


def test_each_is_measured_in_every_round_and_comes_first_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a machine does at the beginning of a round falls on all alike."""
    tape: list[str] = []

    class Apart:
        def __init__(self, label: str) -> None:
            self.label = label

        def ask(self, do: str, **request: Any) -> dict[str, Any]:
            if do == "measure":
                tape.append(f"{self.label}{request['batch']}")
            return {"taken": [1000], "seconds": 0.5, "overhead": 70.0, "bytes": 1}

    monkeypatch.setattr(latency, "_apart", lambda label, threads: contextlib.nullcontext(Apart(label)))
    path = policy_files.linear(tmp_path / "a.onnx")
    entrants = [Entrant(label, path, 1, "file") for label in "abc"]
    measure(entrants, drawn(open_policy(path).metadata), [1, 8], rounds=3)
    assert " ".join(tape) == "a1 b1 c1 a8 b8 c8 b1 c1 a1 b8 c8 a8 c1 a1 b1 c8 a8 b8"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [policy_files.linear(tmp_path / name) for name in CANNED]


@pytest.mark.usefixtures("canned")
def test_a_slow_one_fails_the_gate(files: list[Path]) -> None:
    result = rlbench("latency", *files, "--max-p99", "20ms", "--batch-sizes", "1,8")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line == (
        "Error: slow.onnx took 24.0 ms at the 99th percentile for a batch of 8, more than --max-p99 20.0 ms."
    )
    assert "quick.onnx" in result.stdout  # the table is there all the same
    assert rlbench("latency", *files, "--max-p99", "20ms", "--batch-sizes", "1").exit_code == 0
    assert rlbench("latency", *files, "--max-p99", "30ms", "--batch-sizes", "1,8").exit_code == 0


@pytest.mark.usefixtures("canned")
def test_a_gate_may_be_about_one_of_them(files: list[Path]) -> None:
    asked = ("latency", *files, "--batch-sizes", "1", "--max-p99", "500us")
    assert rlbench(*asked).exit_code == 1
    assert rlbench(*asked, "--gate", "quick.onnx").exit_code == 0
    assert rlbench(*asked, "--gate", "slow.onnx").exit_code == 1
    assert "there is quick.onnx, slow.onnx" in mistake(*asked, "--gate", "middling.onnx")


@pytest.mark.usefixtures("canned")
def test_the_tables_fit_a_terminal(files: list[Path]) -> None:
    said = succeeds("latency", *files).splitlines()
    assert max(map(len, said)) <= 80
    (slow,) = [line for line in said if line.startswith("slow.onnx") and "3.00 ms" in line]
    assert slow.split() == ["slow.onnx", "1", "3.00", "ms", "3.00", "ms", "3.00", "ms", "333", "2,000", "30.00"]


@pytest.mark.usefixtures("canned")
@pytest.mark.draws
def test_what_is_written(files: list[Path], tmp_path: Path) -> None:
    asked = ("latency", *files, "--batch-sizes", "8,1")
    printed = json.loads(succeeds(*asked, "--json"))
    succeeds(*asked, "--out", tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == printed
    one = printed["policies"]["slow.onnx"]
    assert list(one["batches"]) == ["1", "8"]
    assert one["batches"]["8"]["p99"] == pytest.approx(0.024)
    assert one["file_bytes"] == files[1].stat().st_size
    succeeds(*asked, "--out", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_has_a_line_for_each() -> None:
    times = tuple(times_of(n, [[1000 * n, 2000 * n]], [[1000 * n, 2000 * n]]) for n in (1, 8))
    measured = tuple(Measured(name, 10, None, 0.1, 0.0, times) for name in ("one", "other"))
    report = LatencyReport("what", "asked", 1, 1, measured, "here")
    figure = draw_latencies(curves(report), report.caption)
    panels = [ax for ax in figure.axes if ax.get_title()]
    assert [ax.get_title() for ax in panels] == ["p50", "p95", "p99"]
    for ax in panels:
        assert len(ax.get_lines()) == 2
        assert list(ax.get_lines()[0].get_xdata()) == [1, 8]
    assert list(panels[2].get_lines()[1].get_ydata()) == pytest.approx([2e-6, 16e-6])
    assert document(report)["policies"]["one"]["memory_bytes"] is None
    assert any(line.split() == ["one", "0", "KiB", "-", "0.1s"] for line in lines(report))


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(5.6e-6, 1.9e-5, [6, 8, 10, 12, 15]), (4e-6, 6e-5, [5, 10, 20, 50]), (1e-6, 1e-1, [1, 10, 100, 1e3, 1e4, 1e5])],
)
def test_an_axis_has_ticks_to_read_it_by(low: float, high: float, ticks: list[float]) -> None:
    assert [t * 1e6 for t in _ticks(low, high)] == pytest.approx(ticks)


def test_the_worst_of_those_that_count_breaks_the_gate() -> None:
    def made(name: str, *p99: int) -> Measured:
        return Measured(name, 1, 1, 1.0, 0.0, tuple(times_of(n + 1, [[x]], [[x]]) for n, x in enumerate(p99)))

    measured = [made("a", 100, 300), made("b", 200, 900)]
    assert gate(measured, 1000e-9, ["a", "b"]) is None
    worst = gate(measured, 150e-9, ["a", "b"])
    assert worst is not None
    assert (worst.label, worst.times.batch) == ("b", 2)
    of_one = gate(measured, 150e-9, ["a"])
    assert of_one is not None
    assert (of_one.label, of_one.times.batch) == ("a", 2)


def test_real_processes(tmp_path: Path) -> None:
    path = policy_files.linear(tmp_path / "a.onnx", hidden=4)
    result = rlbench("latency", path, "--batch-sizes", "1,4", "--seconds", "0.01", "--json")
    assert result.exit_code == 0  # and a note, perhaps, that these are few calls
    told = json.loads(result.stdout)
    one = told["policies"]["a.onnx"]
    for batch in ("1", "4"):
        times = one["batches"][batch]
        assert times["calls"] >= latency.ROUNDS * stopwatch.FEWEST
        assert 0 < times["p50"] <= times["p95"] <= times["p99"]
        assert times["p50_of_first"] == 1.0
    assert one["memory_bytes"] > 2**20


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    path = policy_files.linear(tmp_path / "a.onnx")
    asking = drawn(open_policy(path).metadata)
    path.write_bytes(b"no more")
    with pytest.raises(RlbenchError, match=r"it: .*is damaged, or no onnx file"):
        measure([Entrant("it", path, 1, "file")], asking, [1])
    with pytest.raises(UsageError, match=r"it: .*no exported policy by its name"):
        measure([Entrant("it", tmp_path / "a.zip", 1, "file")], asking, [1])
    with pytest.raises(RlbenchError, match="it: TypeError"):
        measure([Entrant("it", path, 1, "live", {"seat": 3})], asking, [1])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--batch-sizes", "1,0"], "give whole numbers from 1 on, as 1,8,32"),
        (["--batch-sizes", "eight"], "give whole numbers"),
        (["--max-p99", "2"], "give a time with its unit, as 500us, 2ms or 1s"),
        (["--max-p99", "0ms"], "give a time with its unit"),
        (["--gate", "onnx"], "--gate names what --max-p99 is about"),
        (["--out", "a.txt"], "the name must end in .json, .png, .svg or .pdf"),
        (["--seed", "3"], "are for a run"),
        (["--threads", "0"], "Invalid value for '--threads'"),
    ],
)
def test_a_wrong_request_is_one_line(words: list[str], said: str, files: list[Path]) -> None:
    assert said in mistake("latency", files[0], *words)


def test_files_that_take_different_observations(tmp_path: Path) -> None:
    files = [policy_files.linear(tmp_path / "a.onnx"), policy_files.looked_up(tmp_path / "b.onnx")]
    assert "takes other observations than" in mistake("latency", *files)


def test_a_file_of_another_kind_is_told_which_are_taken(tmp_path: Path) -> None:
    (tmp_path / "look.html").write_bytes(b"x")
    said = mistake("latency", tmp_path / "look.html")
    assert said.endswith("look.html is nothing that is timed: name a run, a checkpoint, .pth, or .onnx, .ts, .pt, .pt2")


def test_a_file_and_a_run_together(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    said = mistake("latency", policy_files.linear(tmp_path / "a.onnx"), tmp_path / "run")
    assert "give one run, or files alone" in said


def test_a_place_that_cannot_be_written_is_told_before_anything_is_timed(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "_apart", lambda *asked: pytest.fail("it was timed"))
    (tmp_path / "folder.json").mkdir()
    assert "cannot write" in mistake("latency", files[0], "--out", tmp_path / "folder.json")
    assert "cannot write" in mistake("latency", files[0], "--out", files[1] / "a.json")
