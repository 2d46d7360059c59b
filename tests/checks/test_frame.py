"""How an agent is checked: where it fits, what becomes of code that is bad in any way, and what is told of it."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from command import mistake, rlbench
from sound import Sound, SoundConfig
from torch import Tensor

from rlbench import Learner
from rlbench.checks import assert_conforms, check, suite
from rlbench.checks.results import FAILS, HOLDS, LEFT_OUT, CheckedRow, CheckReport, head
from rlbench.checks.suite import names
from rlbench.cli import main
from rlbench.probing.rows import ROWS, row


def one_row(agent: Any, name: str = "actions", **how: Any) -> CheckedRow:
    """The row ``name``, asked alone."""
    found = check(agent, rows=[name], **how)
    return found.rows[-1]


def test_a_sound_agent_conforms_in_three_lines() -> None:
    assert_conforms(Sound, rows=["interface"])


def test_it_is_looked_at_where_it_fits() -> None:
    found = check(Sound, rows=["actions"])
    assert found.courses == ["vector", "indices", "pixels", "masked", "masked-indices"]
    assert found.misfits.keys() == {"continuous", "several"}
    assert "sound needs discrete actions" in found.text()
    assert any(change.startswith("epsilon_steps 200 -> 60") for change in found.changes)
    assert not any("batch_size" in change for change in found.changes)  # 7 is short already


def test_what_the_user_chose_stays() -> None:
    found = check(Sound, rows=["actions"], overrides={"epsilon_steps": 300})
    assert not any("epsilon_steps" in change for change in found.changes)
    found = check(Sound, rows=["actions"], overrides=["Sound.epsilon_steps=300", "capacity=400"])
    assert [change.split()[0] for change in found.changes] == []


def test_hyper_parameters_that_do_not_take_short_values_stay() -> None:
    class LongConfig(SoundConfig):
        learning_starts: int = 32

    class Long(Sound):
        Config = LongConfig

        def __init__(self, spec: Any, config: Any, streams: Any) -> None:
            if config.learning_starts < 32:
                raise ValueError("learning_starts has to be 32 or more")
            super().__init__(spec, config, streams)

    found = check(Long, rows=["actions"])
    assert (found.ok, found.changes) == (True, [])


class RaisesInInit(Sound):
    def __init__(self, spec: Any, config: Any, streams: Any) -> None:
        raise KeyError("of mine")


class RaisesInAct(Sound):
    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        raise RuntimeError("of mine")


class RaisesInUpdate(Sound):
    def learn(self) -> dict[str, Tensor]:
        raise ZeroDivisionError("of mine")


class CallsExit(Sound):
    def learn(self) -> dict[str, Tensor]:
        sys.exit(3)


class CallsExitAtOnce(Sound):
    def learn(self) -> dict[str, Tensor]:
        os._exit(3)


class Crashes(Sound):
    def learn(self) -> dict[str, Tensor]:
        os.kill(os.getpid(), 11)
        return {}


class Hangs(Sound):
    def learn(self) -> dict[str, Tensor]:
        while True:
            time.sleep(0.01)


class HangsInC(Sound):
    def learn(self) -> dict[str, Tensor]:
        return {"x": torch.tensor(float(sum(range(10**11))))}


class CannotBeCalled(Sound):
    def observe(self) -> None:  # type: ignore[override]
        pass


class LearnerRaises(Learner):
    def __init__(self, spec: Any, config: Any, rng: Any) -> None:
        pass

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        return torch.zeros(len(obs), dtype=torch.int64)

    def observe(self, transition: Any) -> None:
        assert len(transition) == 7, "of mine"

    def update(self) -> dict[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


@pytest.mark.parametrize(
    ("agent", "method", "words"),
    [
        (RaisesInAct, "act", "RuntimeError: of mine"),
        (RaisesInUpdate, "learn", "ZeroDivisionError: of mine"),
        (CallsExit, "learn", "it called sys.exit(3)"),
        (CallsExitAtOnce, "learn", "ended with exit code 3"),
        (Crashes, "learn", "was ended by SIGSEGV"),
        (Hangs, "learn", "Gave up after 1s"),
        (HangsInC, "learn", "Gave up after 1s"),
        (CannotBeCalled, "", "it is called as def observe(self, transition)"),
        (LearnerRaises, "observe", "AssertionError: of mine"),
    ],
)
def test_bad_code_is_one_row_that_names_its_line(agent: Any, method: str, words: str) -> None:
    found = check(agent, rows=["actions", "explain"], limit=1)
    failed = found.rows[1]
    assert (found.rows[0].status, failed.status) == (HOLDS, FAILS)
    assert words in failed.evidence
    assert f"{__file__}:" in failed.evidence
    assert method in failed.evidence
    assert "Traceback" not in found.text()
    assert found.rows[2].status in (FAILS, LEFT_OUT)  # the others are asked all the same
    assert found.failures == [row for row in found.rows if row.status == FAILS]


class OfVectorsAlone(Sound):
    """Takes for granted that a vector is observed, and does not say so."""

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        assert obs.dim() == 3, "no vector"
        return super().act(obs, explore=explore)


def test_who_raises_on_a_later_course_alone_is_told_how_to_say_that_it_is_not_meant_for_it() -> None:
    failed = one_row(OfVectorsAlone)
    assert failed.status == FAILS
    assert "on indices" in failed.evidence
    assert "not meant for indices, which it is to say in __init__: raise rlbench.UsageError" in failed.cause
    assert not one_row(RaisesInAct).cause  # on the first: a slip


def test_where_it_raised_on_a_later_course_other_rows_do_not_look() -> None:
    found = check(OfVectorsAlone, rows=["actions", "evaluation", "parameters-move"])
    assert [row.status for row in found.rows] == [HOLDS, FAILS, HOLDS, HOLDS]
    assert "Likewise on pixels, masked-indices." in found.rows[1].evidence
    assert found.courses == ["vector", "masked"]
    assert found.misfits["indices"] == "it raised there, in actions"


@pytest.mark.slow
def test_once_a_row_has_hung_the_others_are_given_little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "PATIENCE", 0.1)
    monkeypatch.setattr(suite, "NO_PATIENCE", 0.5)
    rows = check(Hangs, rows=["actions", "finite", "builds"]).rows
    assert [row.evidence.partition(", ")[0] for row in rows] == ["", "Gave up after 2s", "Gave up after 0.5s"]


class LeavesAChild(Sound):
    def learn(self) -> dict[str, Tensor]:
        if not self.updates and not os.fork():
            time.sleep(600)
            os._exit(0)
        return super().learn()


def test_what_it_leaves_running_is_not_waited_for() -> None:
    assert check(LeavesAChild, rows=["metrics"]).ok


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells a process that its parent died")
def test_a_row_ends_with_the_command_that_asks_it(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    (tmp_path / "waits.py").write_text(
        "import os, time\nfrom rlbench.agents.dqn import DQN\n\n\nclass Waits(DQN):\n"
        "    def act(self, *args, **kwargs):\n"
        f"        open({str(told)!r}, 'w').write(str(os.getpid()))\n        time.sleep(600)\n"
    )
    command = [sys.executable, "-m", "rlbench", "check", "waits.py:Waits", "--rows", "actions"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as asking:
        while not (told.exists() and told.read_text()):
            assert asking.poll() is None
            time.sleep(0.05)
        asking.terminate()
    child = int(told.read_text())
    for _ in range(200):
        if not (Path("/proc") / str(child)).exists() or _state(child) == "Z":
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    pytest.fail("it waits on")


def _state(pid: int) -> str:
    return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]


def test_where_there_is_no_fork_rows_are_asked_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    found = check(RaisesInUpdate, rows=["actions", "explain"])
    assert [row.status for row in found.rows] == [HOLDS, FAILS, FAILS]
    assert "ZeroDivisionError: of mine" in found.rows[1].evidence


def test_who_raises_where_it_was_not_meant_to_be_built_is_asked_where_it_was() -> None:
    class OfPictures(Sound):
        def __init__(self, spec: Any, config: Any, streams: Any) -> None:
            super().__init__(spec, config, streams)
            self.height = (3, 4, 5)[3 - spec.obs_shape[0]]  # an index has no shape

    found = check(OfPictures, rows=["actions"])
    assert found.ok
    assert found.courses == ["vector", "pixels", "masked"]
    assert "IndexError" in found.misfits["indices"]
    assert f"{__file__}:" in found.misfits["indices"]
    assert "is to say so, by rlbench.UsageError" in found.misfits["indices"]


def test_what_cannot_be_built_fails_once() -> None:
    found = check(RaisesInInit, rows=["interface"])
    assert [row.status for row in found.rows] == [FAILS, *[LEFT_OUT] * (len(found.rows) - 1)]
    assert "KeyError: 'of mine'" in found.rows[0].evidence
    assert f"{__file__}:" in found.rows[0].evidence
    assert found.rows[1].why == "it cannot be built"


def test_what_fits_nowhere_fails_once() -> None:
    class Nowhere(Sound):
        def __init__(self, spec: Any, config: Any, streams: Any) -> None:
            raise ValueError("not here")

    found = check(Nowhere, rows=["actions"])
    assert "not here" in found.rows[0].evidence
    assert not found.ok


class Prints(Sound):
    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        print("acting")
        os.write(2, b"and by the handle\n")
        return super().act(obs, explore=explore)


def test_what_it_prints_is_a_note(capfd: pytest.CaptureFixture[str]) -> None:
    found = check(Prints, rows=["actions"])
    assert found.ok
    assert "note: it prints, in actions: 'acting'" in found.text()
    assert "and by the handle" in found.rows[1].printed
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("width", [60, 80, 110])
def test_the_table_fits_the_terminal(width: int) -> None:
    found = check(Prints, rows=["actions", "device", "n-step"], quick=True)
    found = found._replace(unasked=["worth-waiting", "large-rewards"] * 9, misfits={"pixels": "far too many " * 9})
    failing = found.rows[1]._replace(status=FAILS, evidence="Expected this and that. " * 9, cause="of this. " * 20)
    rows = [*found.rows, failing]
    lines = [line for row in rows for line in row.lines(width=width)]
    lines += [*head(found.agent, found.courses, found.misfits, ["name 1 -> 2"] * 20, width), *found.foot(width)]
    assert max(map(len, lines)) <= width
    assert " ".join(" ".join(lines).split()).count("worth-waiting, large-rewards") == 9


def test_failures_are_an_assertion_with_the_evidence() -> None:
    with pytest.raises(AssertionError, match=r"RaisesInAct does not conform:\n +FAILS +actions (.*\n)+.*of mine"):
        assert_conforms(RaisesInAct, rows=["actions"])


def test_rows_are_chosen_by_name_group_and_pattern() -> None:
    every = [row.name for row in check(Sound, rows=["interface"]).rows]
    assert every[0] == "builds"
    assert [row.name for row in check(Sound, rows=["act*"]).rows] == ["builds", "actions"]
    assert [row.name for row in check(Sound, rows=["interface"], without=["act*"]).rows] == [
        name for name in every if name != "actions"
    ]
    assert "there is no row 'nonsense'" in mistake("check", "dqn", "--rows", "nonsense")


def test_no_two_rows_have_one_name() -> None:
    with pytest.raises(ValueError, match="two rows 'actions'"):
        row("actions", "x", group="x")(lambda subject: None)
    assert all(each.name == name for name, each in ROWS.items())


FILE = """
import sys
print("imported")
from rlbench import Agent
class Abstract(Agent):
    def act(self, obs, *, explore): ...
class Needs(Agent):
    from rlbench import AgentConfig
    class Config(AgentConfig):
        width: int
    def __init__(self, spec, config, streams): ...
    act = observe = update = state_dict = load_state_dict = lambda self, *args, **more: {}
"""


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("def f(:\n", ["AGENT"], "syntax error in"),
        ("raise SystemExit(2)\n", ["AGENT"], "raised SystemExit on import"),
        (FILE, ["AGENT"], "has no class 'Mine'"),
        (FILE, ["FILE:Abstract"], "Abstract does not define __init__, load_state_dict, observe, state_dict, update"),
        (FILE, ["FILE:sys"], "sys must be a subclass of rlbench.Agent or rlbench.Learner"),
        (FILE, ["FILE:Needs"], "Needs.width has no default: give it a value, --set Needs.width=VALUE"),
        (FILE, ["dqn", "--set", "gama=0.9"], "Did you mean dqn.gamma?"),
        (FILE, ["dqn", "--set", "gamma=2"], "dqn.gamma: Input should be less than or equal to 1"),
        (FILE, ["dqn", "--env", "Nowhere-v0"], "unknown environment 'Nowhere-v0'"),
        (FILE, ["dqn", "--out", "x.html"], "must end in .json or .txt"),
        (FILE, ["dqn", "--import", "json"], "--import is for the environment of --env"),
        (None, ["AGENT"], "there is no file"),
        (None, ["nobody"], "unknown agent 'nobody'"),
    ],
)
def test_a_wrong_request_is_one_line(text: str | None, words: list[str], said: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    if text is not None:
        file.write_text(text)
    asked = [word.replace("AGENT", f"{file}:Mine").replace("FILE", str(file)) for word in words]
    result = rlbench("check", *asked)
    assert result.exit_code == 2, result.output
    last = [line for line in result.stderr.splitlines() if line != "imported"]
    assert len(last) == 1
    assert said in last[0]
    assert "--agent" not in last[0]


def test_the_command_tells_and_exits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # more than it makes use of
    result = rlbench("check", "dqn", "--rows", "actions,metrics", "--out", tmp_path / "found.txt")
    assert result.exit_code == 0, result.output
    assert "dqn: 3 rows hold, nothing fails" in result.stdout
    assert result.stdout.splitlines()[:-1] == (tmp_path / "found.txt").read_text().splitlines()[:-1]  # but for the time
    file = tmp_path / "bad.py"
    file.write_text(
        "print('imported')\nfrom rlbench.agents.dqn import DQN\n"
        "class Bad(DQN):\n    def act(self, obs, *, explore, extras=None):\n        return obs\n"
    )
    result = rlbench("check", f"{file}:Bad", "--rows", "actions", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["ok"], found["agent"]) == (False, "Bad")
    assert found["rows"][1]["status"] == "fails"
    assert "Expected a tensor of shape (2, 3)" in found["rows"][1]["evidence"]


def test_interrupted_it_says_what_was_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: Any, **how: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(suite, "ask", interrupted)
    result = rlbench("check", "random")
    assert result.exit_code == 130
    assert result.stderr == "stopped: rows that were not told of were not asked\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_are_left_out_where_nobody_wants_them(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def table() -> str:
        return CliRunner().invoke(main, ["check", "random", "--rows", "config"], color=True).stdout  # as on a terminal

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[" in table()
    monkeypatch.setenv(name, value)
    assert "\x1b[" not in table()


def test_an_environment_of_ones_own_is_where_rows_look() -> None:
    found = check(Sound, rows=["actions"], env="CartPole-v1")
    assert found.ok
    assert "CartPole-v1" in found.courses
    found = check(Sound, rows=["actions"], env="Pendulum-v1")
    assert found.rows[1].status == LEFT_OUT
    assert "does not fit Pendulum-v1: sound needs discrete actions" in found.rows[1].why


def test_a_report_is_plain_data() -> None:
    found = check(Sound, rows=["actions"])
    assert isinstance(found, CheckReport)
    assert json.loads(json.dumps(found.json()))["rows"][0]["name"] == "builds"


def test_the_page_tells_of_every_row() -> None:
    page = (Path(__file__).parents[2] / "docs/check.md").read_text("utf-8")
    table = re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE)
    told = [name for cell in table for name in re.findall(r"`([\w-]+)`", cell)]
    assert {"builds", *names()} == set(told)


class ImportsAsTorchDoes(Sound):
    """Needs, when it is built, a part of torch's that nobody has needed before."""

    def __init__(self, spec: Any, config: Any, streams: Any) -> None:
        super().__init__(spec, config, streams)
        importlib.import_module(SELDOM)


SELDOM = "torch.utils.show_pickle"


def test_what_torch_imports_late_is_imported_once_and_not_by_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, SELDOM, raising=False)
    assert check(ImportsAsTorchDoes, rows=["metrics"]).ok
    assert SELDOM in sys.modules  # of the process that rows are forked from
