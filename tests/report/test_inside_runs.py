"""The report's section on what agents look like inside: of runs in every state, without a trace."""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from command import CARTPOLE, rlbench, succeeds

from rlbench.inspection.text import said
from rlbench.inspection.whole import inspect
from rlbench.report import inside_runs
from rlbench.report.inside_courses import course_charts
from rlbench.runfolder.reader import Reader

LOOKED = ("--total-steps", "300", "--debug", "100")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds, looked into while it trained."""
    folder = tmp_path_factory.mktemp("inside") / "run"
    succeeds(*CARTPOLE, *LOOKED, "--out", folder)
    return folder


def section(out: Path, *args: str | Path) -> tuple[str, str]:
    """The section in a report without films, and its words alone."""
    result = rlbench("report", *args, "--no-video", "--out", out)
    assert result.exit_code == 0, result.output
    html = out.read_text().partition('<section id="inside">')[2].partition("</section>")[0]
    return html, re.sub(r"\s+", " ", re.sub(r"<svg.*?</svg>|<[^>]*>", " ", html))


def digests(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def test_what_inspect_finds_stands_in_the_report_with_its_pictures(run: Path, tmp_path: Path) -> None:
    before, state = digests(run), torch.get_rng_state()
    html, words = section(tmp_path / "r.html", run)
    assert digests(run) == before
    assert torch.equal(torch.get_rng_state(), state)
    for line in said(inspect(run)):
        assert str(line).removeprefix("! ") in words
    assert "After 300 env steps, asked about" in words
    for title in (
        "Units that do nothing, by layer", "Layer 1 of q_net", "Features of q_net", "Expected against what came",
        "Gradient of q_net", "Actions in the buffer", "While it trained", "Effective rank", "Values",
        "Norm of the gradient", "effective rank", "distinct observations",
    ):  # fmt: skip
        assert title in words
    assert html.count("<svg") >= 12
    letters = re.findall(r"<text[^>]*>", html)
    assert len(letters) > 100
    assert all("var(--c1a1a1a, #1a1a1a)" in one for one in letters)  # to be read on a dark page too
    page = (tmp_path / "r.html").read_text()
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert '<a href="#inside">Inside the agent</a>' in page
    assert 'href="http' not in html.replace('href="#', "")


def test_it_can_be_left_out(run: Path, tmp_path: Path) -> None:
    assert section(tmp_path / "r.html", run, "--no-inside") == ("", "")


def test_of_many_runs_the_first_have_pictures_and_the_others_words(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inside_runs, "RUNS", 2)
    monkeypatch.setattr(inside_runs, "DRAWN", 1)
    others = [Path(shutil.copytree(run, tmp_path / name)) for name in "bc"]
    html, words = section(tmp_path / "r.html", f"base={run}", f"mine={others[0]},{others[1]}")
    assert words.count("After 300 env steps") == 2
    assert words.count("While it trained") == 1
    assert f"base: {run}" in words
    assert f"mine: {others[0]}" in words
    assert str(others[1]) not in words
    assert "1 more run not looked into here: rlbench inspect RUN --html FILE" in words
    assert html.count('class="look"') == 2


def test_of_many_seeds_some_are_looked_into(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside_runs, "SEEDS", 1)
    _, words = section(tmp_path / "r.html", run)
    assert "of 2 seeds 1 were looked into: 0." in words
    found = inspect(run, most=1)
    assert [one.seed for one in found.seeds] == [0]
    assert found.seeds[0] == inspect(run).seeds[0]


def killed_early(run: Path) -> None:
    for name in ("checkpoint.pth", "best.pth", "summary.json"):
        (run / name).unlink()


def without_a_journal(run: Path) -> None:
    shutil.rmtree(run / "journal")


def damaged_journal(run: Path) -> None:
    for path in (run / "journal").iterdir():
        path.write_bytes(path.read_bytes()[:300] + b"\xff" * 40 + path.read_bytes()[340:])


def damaged_checkpoint(run: Path) -> None:
    (run / "checkpoint.pth").write_bytes(b"\0" * 100)


def damaged_courses(run: Path) -> None:
    lines = (run / "debug.csv").read_text().splitlines()
    (run / "debug.csv").write_text("\n".join([*lines[:3], "garbage", *lines[4:]]) + "\n")


def no_buffer(run: Path) -> None:
    (run / "replay.pth").unlink()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (killed_early, "The agent cannot be looked into: {run} holds no checkpoint yet."),
        (without_a_journal, "greedy episodes, as none of training can be run again"),
        (damaged_journal, "{run}/journal/0.bin is damaged: the record at byte"),
        (damaged_journal, "the newest episodes of training, run again"),  # those before the damage
        (damaged_checkpoint, "The agent cannot be looked into: {run}/checkpoint.pth is damaged"),
        (damaged_courses, "debug.csv is damaged at line 4: 1 fields instead of 17: what follows is left out."),
        (no_buffer, "what the buffer held is not known."),
    ],
)
def test_what_cannot_be_looked_into_is_said_in_a_line(harm: Any, says: str, run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    harm(copy)
    html, words = section(tmp_path / "r.html", copy)
    assert says.format(run=copy) in words
    assert ("While it trained" in words) == (copy / "debug.csv").exists()
    assert ("distinct observations" in words) == (harm not in (killed_early, damaged_checkpoint, no_buffer))
    assert "Traceback" not in html


MINE = """
import torch
from rlbench import Learner

class Mine(Learner):
    def __init__(self, spec, config, rng):
        self.net = torch.nn.Linear(spec.obs_shape[0], spec.num_actions)
    @torch.no_grad()
    def act(self, obs, *, explore):
        return self.net(obs).argmax(-1)
    def observe(self, t):
        pass
    def update(self):
        return {}
    def state_dict(self):
        return self.net.state_dict()
    def load_state_dict(self, state):
        self.net.load_state_dict(state)
    def explain(self, obs):
        raise ValueError("nothing to say")
"""


def test_an_agent_of_a_user_is_looked_into_where_its_code_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    ref = f"{file}:Mine"
    succeeds("train", "--env", "CartPole-v1", "--agent", ref, *CARTPOLE[3:5], "--total-steps", "100", "--seeds", "1",
             "--set", "eval_every=50", "--set", "eval_episodes=1", "--progress", "none",
             "--out", tmp_path / "run")  # fmt: skip
    _, words = section(tmp_path / "r.html", tmp_path / "run")
    assert "The agent cannot be looked into: " in words
    assert "--agent" in words
    _, words = section(tmp_path / "r.html", tmp_path / "run", "--agent", ref)
    assert "The agent cannot be looked into: " in words
    assert "nothing to say" in words
    file.write_text(MINE.replace('raise ValueError("nothing to say")', 'return {"q_values": self.net(obs)}'))
    _, words = section(tmp_path / "r.html", tmp_path / "run", "--agent", ref)
    assert "After 100 env steps" in words


def test_courses_of_a_table_of_another_version(run: Path, tmp_path: Path) -> None:
    """Columns that are not there have no picture; a single row is a dot."""
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    (copy / "debug.csv").write_text("seed,env_steps,updates,dead,value_mean,new\n0,100,3,0.5,,7\n")
    drawn = course_charts(Reader(copy).table("debug.csv").value, "x")
    assert [chart.title for chart in drawn] == ["Units that do nothing"]
    assert json.dumps(drawn[0].caption) == '"Of the worst layer. Blue: dead."'
