"""The look at a run's own products before it begins, and the mode of MKL that it is made in."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_spec
from rlbench.agents.dqn import DQN, DQNConfig

from rlbench.cli import main
from rlbench.nn import products
from rlbench.process import mkl
from rlbench.recipe import Recipe, width
from rlbench.record.watcher import Watcher
from rlbench.rng import Streams
from rlbench.training.train import resume, train

SMALL = {
    "env": "CartPole-v1",
    "seeds": 2,
    "total_steps": 120,
    "final_eval_episodes": 0,
    "eval_every": 0,
    "track": "none",
}


class Notes(Watcher):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def look(**changes: Any) -> width.Width:
    recipe = Recipe.load(overrides={**SMALL, **changes})
    agent = DQN(make_spec((4,), num_seeds=1), DQNConfig(hidden=(33, 20)), Streams([0]))
    return width.check(agent, recipe, torch.device("cpu"))


def careless(x: torch.Tensor, y: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """A product whose last bits depend on how many seeds there are."""
    return products.product(x, y, out) * (1 + (len(x) > 1) * 2.0**-20)


def test_every_layer_is_tried_with_the_rows_of_acting_evaluating_and_learning() -> None:
    found = look()
    assert found.strayed == ()
    assert found.tried == 3 * 3  # (4, 33), (33, 20), (20, 2); 1 row, those of an evaluation, a batch
    assert found.facts()["width"] == "kept"


def test_a_product_that_strays_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(width, "product", careless)
    found = look()
    assert (64, 33, 20) in found.strayed
    assert "(64, 33, 20)" in found.warning() + str(found.strayed)
    assert str(found.facts()["width"]).startswith("lost for (")


def test_with_several_threads_nothing_is_promised() -> None:
    assert look(threads=2).facts() == {"cpu": mkl.cpu(), "mkl_mode": width.mkl_mode(), "width": "none"}


def test_a_run_says_what_it_saw(tmp_path: Path) -> None:
    run = train(out=tmp_path / "run", **SMALL)
    numerics = json.loads((run.folder / "run.json").read_text())["numerics"]
    assert numerics == {"cpu": mkl.cpu(), "mkl_mode": width.mkl_mode(), "width": "kept", "products_tried": 9}


def test_a_run_without_width_says_so_and_asks_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(width, "product", careless)
    asked, notes = [], Notes()

    def before(found: width.Width) -> None:
        asked.append(found)
        assert not (tmp_path / "run").exists()

    train(out=tmp_path / "run", watcher=notes, width_lost=before, **SMALL)
    assert len(asked) == 1
    assert "last bits of a seed's numbers depend" in notes.notes[0]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["numerics"]["width"].startswith("lost for (")


def test_the_command_starts_again_in_a_slower_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    started = []
    monkeypatch.setattr(width, "product", careless)
    monkeypatch.setattr(mkl, "slower", lambda: "COMPATIBLE")
    monkeypatch.setattr(mkl, "restart", started.append)
    arguments = ["train", "--env", "CartPole-v1", "--seeds", "2", "--workers", "1", "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(main, arguments)
    assert started == ["COMPATIBLE"]
    assert "starting again in COMPATIBLE" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_resume_in_another_mode_is_not_called_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train(out=tmp_path / "run", **SMALL)
    notes = Notes()
    monkeypatch.setattr("rlbench.training.restore.mkl_mode", lambda: "ANOTHER")
    again = resume(run.folder, total_steps=200, watcher=notes)
    assert again.summary["inexact_resumes_at"] == [120]
    assert any("this resume is not exact" in note for note in notes.notes)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx avx2 fma avx512f avx512dq avx512bw avx512vl", ["AVX512", "AVX2", "COMPATIBLE"]),
        ("fpu avx avx2 fma avx512f", ["AVX2", "COMPATIBLE"]),
        ("fpu sse2", ["COMPATIBLE"]),
        ("", ["AVX2", "COMPATIBLE"]),  # a system that does not tell
    ],
)
def test_modes_of_a_cpu(flags: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mkl, "_cpu", lambda field: flags)
    assert mkl.modes() == expected
    monkeypatch.setattr(os, "environ", {})
    mkl.choose()
    steps = [os.environ[mkl.VARIABLE]]
    while slower := mkl.slower():
        mkl.choose(slower)
        steps.append(os.environ[mkl.VARIABLE])
    assert steps == expected


def test_the_users_own_choice_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {mkl.VARIABLE: "COMPATIBLE"})
    mkl.choose()
    mkl.choose("AVX2")
    assert os.environ == {mkl.VARIABLE: "COMPATIBLE"}
    assert mkl.slower() == ""


@pytest.mark.slow
def test_a_restart_runs_the_same_command_with_the_mode_asked_for() -> None:
    script = (
        "import os, sys; from rlbench.process import mkl\n"
        "if len(os.environ.get('SEEN', '')) < 1:\n"
        "    os.environ['SEEN'] = 'yes'; mkl.restart('COMPATIBLE')\n"
        "from rlbench.recipe import width\n"
        "print(sys.argv[1:], os.environ['MKL_CBWR'], width.mkl_mode(), mkl.slower() == '')"
    )
    done = subprocess.run([sys.executable, "-c", script, "a b"], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] in ("['a b'] COMPATIBLE COMPATIBLE True", "['a b'] COMPATIBLE none True")


@pytest.mark.parametrize("about", [{}, {"numerics": {}}, {"numerics": 3}, {"numerics": {"mkl_mode": "NONSENSE"}}])
def test_a_recorded_mode_that_does_not_fit_is_passed_over(about: dict[str, Any]) -> None:
    assert width.recorded_mode(about) == ""
    assert width.recorded_mode({"numerics": {"mkl_mode": "COMPATIBLE"}}) == "COMPATIBLE"
