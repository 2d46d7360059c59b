"""The script for a card runs without one, to be known as whole before it meets a card; what it reckons is right."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import slow
from rlbench.experiments.bench.cuda import __main__ as script
from rlbench.experiments.bench.cuda.job import DEVICE, HOST, Job, classic, least_bytes
from rlbench.experiments.bench.cuda.steps import costs, line

from rlbench.recipe import build

TINY = ("--device", "cpu", "--seeds", "1,2", "--steps", "6")


def rehearsal(out: Path, stages: str, *more: str) -> Any:
    return CliRunner().invoke(script.main, ["--out", str(out), *TINY, "--stages", stages, *more])


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # what torch.compile imports
@pytest.mark.parametrize(
    "stages",
    [
        "facts,waits,graphs,crossing",
        slow("copies,rates,thousand"),
        slow("pictures,compile,kernels,used"),
        slow("right"),
    ],
)
def test_every_stage_can_be_rehearsed(stages: str, tmp_path: Path) -> None:
    result = rehearsal(tmp_path, stages)
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "cuda.json").read_text())
    assert list(found) == stages.split(",")
    assert all(found.values())
    table = result.stdout
    assert [table.index(f"\n{name}\n") for name in found] == sorted(table.index(f"\n{name}\n") for name in found)
    if "crossing" in found:
        assert any("Costs(launches=" in str(row) for row in found["crossing"].values())
        assert found["waits"]["cpu, envs and replay device"] == {"a step": 0.0}
    if "thousand" in found:
        assert {"dqn x 1", "ppo x 2", "pqn, against one"} <= found["thousand"].keys()
    if "right" in found:
        assert found["right"]["exit code"] == 0, found


def test_correctness_comes_first() -> None:
    assert next(iter(script.STAGES)) == "right"
    wanted = {"facts", "copies", "waits", "rates", "thousand", "pictures", "compile", "kernels", "graphs", "crossing"}
    assert wanted <= script.STAGES.keys()


def test_a_stage_that_fails_is_named_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(job: Job) -> dict[str, Any]:
        raise RuntimeError("no such kernel")

    monkeypatch.setitem(script.STAGES, "copies", fails)
    result = rehearsal(tmp_path, "copies,facts")
    assert result.exit_code == 1
    assert "Error: failed: copies" in result.output
    found = json.loads((tmp_path / "cuda.json").read_text())
    assert found["copies"] == {"failed": "RuntimeError: no such kernel"}
    assert found["facts"]["card"] == "none"
    assert "in fails" in (tmp_path / "cuda.log").read_text()
    assert "no stage 'speed'; there are right, facts" in rehearsal(tmp_path, "facts,speed").output


def test_no_stage_begins_when_the_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def takes_long(job: Job) -> dict[str, Any]:
        time.sleep(0.05)
        return {"a": 1}

    monkeypatch.setitem(script.STAGES, "copies", takes_long)
    result = rehearsal(tmp_path, "copies,facts,graphs", "--minutes", "0.0005")
    assert result.exit_code == 0
    assert result.stdout.endswith("no time left for: facts,graphs\n")
    assert list(json.loads((tmp_path / "cuda.json").read_text())) == ["copies"]


def test_the_lines_give_back_the_constants_that_they_were_made_of() -> None:
    launches, computed, alongside, start, params = 40.0, 29.0, 4.0, 150.0, 9_220
    widths = [1, 4, 10, 30, 100]
    card = line(widths, [start + launches + alongside * n for n in widths])
    cpu = line(widths, [start + (computed + alongside) * n for n in widths])
    assert costs(card, cpu, params) == "Costs(launches=40.0, computed=29.00 / 9_220, alongside=4.00)"
    assert line([3], [70.0]) == (70.0, 0.0)


def test_what_is_timed_lies_where_its_name_says() -> None:
    job = Job("cuda", [1, 10], 5)
    assert job.places == [("cuda", HOST), ("cuda", DEVICE), ("cpu", HOST)]
    assert job.widths(1, 128, 1000) == [1, 10]
    made = classic(2, **DEVICE)
    assert (made.envs_on, made.replay) == ("device", "device")
    agent: Any = build.build(made, made.seed_numbers, "cpu").agent
    params = 4 * 64 + 64 + 64 * 64 + 64 + 64 * 2 + 2
    assert 4 * 14 * 2 * params <= least_bytes(agent, 0) < 1.1 * 4 * 14 * 2 * params
