"""`rlbench tune` as it is typed."""

import json
import sys
from pathlib import Path

import pytest
from command import mistake, rlbench, succeeds

CATCH = """
[base]
env = "rlbench/Catch-v0"
total_steps = 60
eval_every = 0
final_eval_episodes = 2
seeds = 2
track = "none"
[base.dqn]
hidden = [8]
batch_size = 8
learning_starts = 20
[space]
dqn.n_step = {low = 1, high = 3}
[search]
trials = 2
seeds = 1
"""


def test_a_ready_space_is_printed_to_be_copied(tmp_path: Path) -> None:
    space = succeeds("tune", "--space", "ppo")
    assert "[space]\nppo.learning_rate = {low = 1e-4, high = 1e-2, log = true}" in space
    file = tmp_path / "copied.toml"
    file.write_text(f'[base]\nenv = "CartPole-v1"\nagent = "ppo"\n{space}[search]\nsampler = "tep"\n')
    assert "unknown sampler 'tep'" in mistake("tune", file, "--out", tmp_path / "out")  # the rest of it is sound
    assert "no search space comes with rlbench for 'poo'" in mistake("tune", "--space", "poo")
    assert "takes neither a file nor --out" in mistake("tune", file, "--space", "ppo")


@pytest.mark.slow
def test_a_search_is_carried_out_in_processes_of_its_own(tmp_path: Path) -> None:
    """A real one, as small as can be; a second time nothing is left to do."""
    file, out = tmp_path / "catch.toml", tmp_path / "out"
    file.write_text(CATCH)
    said = succeeds("tune", file, "--out", out, "--jobs", "1")
    assert "2 trials: 2 with a score" in said
    assert f"Train it: rlbench train --recipe {out}/best.toml" in said
    for number in (0, 1):
        run = out / "trials" / str(number)
        assert json.loads((run / "summary.json").read_text())["updates"] > 0
        assert len((run / "episodes.csv").read_text().splitlines()) > 1
    found = json.loads(succeeds("tune", file, "--out", out, "--json"))
    assert found["tuning_seeds"] == [1_000_000, 1_000_000]
    assert found["trials"] == {"COMPLETE": 2}
    assert set(found["best"]["values"]) == {"dqn.n_step"}
    file.write_text(CATCH.replace("high = 3", "high = 4"))
    assert "searches something else: its [space] has dqn.n_step" in mistake("tune", file, "--out", out)


def test_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "catch.toml"
    file.write_text(CATCH)
    assert "name the file of a search" in mistake("tune")
    assert f"say where the search is kept: rlbench tune {file} --out DIR" in mistake("tune", file)


def test_without_optuna_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "catch.toml"
    file.write_text(CATCH)
    monkeypatch.setitem(sys.modules, "optuna", None)
    said = mistake("tune", file, "--out", tmp_path / "out")
    assert "needs optuna, which is not installed. Run: pip install 'rlbench[tune]'" in said
    assert "ppo.clip" in succeeds("tune", "--space", "ppo")  # which takes no Optuna


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ('agent = "mine.py:Mine"', "--agent mine.py:Mine"),
        ('imports = ["mine.py"]', "--import mine.py"),
        ('wrappers = ["mine.py:Wrapper"]', "--import mine.py"),
    ],
)
def test_code_that_a_file_names_does_not_run(
    line: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    file = tmp_path / "search.toml"
    file.write_text(CATCH.replace("[base]\n", f"[base]\n{line}\n"))
    said = mistake("tune", file, "--out", tmp_path / "out")
    assert f"If you trust it, say so: {option}" in said
    assert not (tmp_path / "ran").exists()


def test_an_environment_that_a_file_names_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    file = tmp_path / "search.toml"
    file.write_text(CATCH.replace("rlbench/Catch-v0", "mine.py:Env"))
    assert "If you trust it, say so: --env mine.py:Env" in mistake("tune", file, "--out", tmp_path / "out")
    assert not (tmp_path / "ran").exists()


def test_help_shows_a_file_that_works(tmp_path: Path) -> None:
    text = rlbench("tune", "--help").stdout
    lines = [line.strip() for line in text[text.index("[base]\n") : text.index("\nOptions:")].splitlines()]
    file = tmp_path / "shown.toml"
    file.write_text("\n".join(lines))
    monkey = mistake("tune", file)
    assert "say where the search is kept" in monkey  # all else is sound
