"""One cell: begun, gone on with, found done; and what is told of each end."""

import errno
import json
import math
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from rlbench.cells import perform as module
from rlbench.cells.attempt import Attempt, Stage, parse_attempt, read_attempt, write_attempt
from rlbench.cells.order import Order
from rlbench.cells.perform import DONE, FAILED, FULL, REFUSED, perform
from rlbench.cells.telling import Telling
from rlbench.errors import AgentError, RunFolderError, UsageError
from rlbench.recipe import Recipe
from rlbench.rollout.signals import Interrupted
from rlbench.runfolder.lock import Lock


def order(folder: Path, attempt: int = 1, **changes: Any) -> Order:
    small = {"seeds": 2, "total_steps": 60, "eval_every": 0, "final_eval_episodes": 2, "workers": 1, "track": "none"}
    recipe = Recipe.load(None, env="FrozenLake-v1", agent="random", overrides={**small, **changes})
    return Order("a cell", str(folder), recipe.content(), attempt)


def told(folder: Path) -> Attempt:
    attempt = read_attempt(folder)
    assert attempt is not None
    return attempt


def test_a_cell_is_run_told_of_and_then_found_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "deep" / "cell"
    assert perform(order(folder)) == DONE
    attempt = told(folder)
    assert (attempt.state, attempt.env_steps, attempt.total_steps, attempt.attempt) == ("done", 60, 60, 1)
    final = json.loads((folder / "summary.json").read_text())["final_eval_return"]
    assert list(attempt.returns) == [final["0"], final["1"]]
    assert attempt.peak > 0
    episodes = (folder / "episodes.csv").stat()
    assert perform(order(folder, 2)) == DONE
    assert (folder / "episodes.csv").stat() == episodes  # nothing was trained
    assert told(folder).attempt == 2
    assert (told(folder).env_steps, told(folder).returns) == (60, attempt.returns)
    assert "Traceback" not in capsys.readouterr().out


def test_a_cell_goes_on_to_more_steps(tmp_path: Path) -> None:
    assert perform(order(tmp_path)) == DONE
    assert perform(order(tmp_path, 2, total_steps=120)) == DONE
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["env_steps"], told(tmp_path).env_steps) == (120, 120)


def test_one_that_was_stopped_ends_where_it_is_told_to_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Telling, "tick", lambda self, status: signal.raise_signal(signal.SIGINT))
        assert perform(order(tmp_path, total_steps=10_000)) == 130
    assert told(tmp_path).env_steps < 500
    assert perform(order(tmp_path, 2, total_steps=600)) == DONE
    assert json.loads((tmp_path / "summary.json").read_text())["env_steps"] == 600


def test_one_that_was_killed_before_its_first_checkpoint_begins_again(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("env = 'half writ")  # run.json comes after it
    (tmp_path / "attempt.json").write_text("{")
    assert perform(order(tmp_path)) == DONE


def test_it_waits_until_the_process_of_the_attempt_before_has_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rlbench.runfolder.lock.PATIENCE", 0.0)  # of any other run
    lock = Lock(tmp_path)
    threading.Timer(0.5, lock.release).start()
    assert perform(order(tmp_path)) == DONE
    assert "is still at work here: waiting for its end" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("raised", "code", "state", "message"),
    [
        (UsageError("it cannot act there"), REFUSED, "refused", "it cannot act there"),
        (AgentError("act() broke"), FAILED, "failed", "act() broke"),
        (Interrupted("stopped by SIGTERM", 15), 143, "stopped", "stopped by SIGTERM"),
        (KeyboardInterrupt(), 130, "stopped", "stopped at once"),
        (ZeroDivisionError("by zero"), FAILED, "failed", "ZeroDivisionError: by zero"),
        (OSError(errno.ENOSPC, "no space"), FULL, "failed", "no space"),
        (OSError(errno.EACCES, "not yours"), FAILED, "failed", "not yours"),
    ],
)
def test_every_end_has_its_code_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int, state: str, message: str
) -> None:
    def broken(*args: object, **how: object) -> None:
        raise raised

    monkeypatch.setattr(module.training, "train", broken)
    (tmp_path / "log.txt").write_text("first\n\nlast words\n")
    assert perform(order(tmp_path)) == code
    attempt = told(tmp_path)
    assert attempt.state == state
    assert message in attempt.message
    assert attempt.lines == (("first", "last words") if state == "failed" else ())


def test_a_disk_without_room_is_known_behind_what_is_said_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **how: object) -> None:
        raise RunFolderError("cannot write it") from OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(module.training, "train", full)
    assert perform(order(tmp_path)) == FULL


def test_what_is_told_of_an_attempt_is_read_back_and_damage_is_nothing(tmp_path: Path) -> None:
    attempt = Attempt(3, "failed", "why", ("a", "b"), "host", 7, env_steps=5, returns=(1.0, 2.5), peak=9)
    write_attempt(tmp_path, attempt)
    assert read_attempt(tmp_path) == attempt
    write_attempt(tmp_path, attempt._replace(returns=(math.nan, 1.0)))
    assert math.isnan(told(tmp_path).returns[0])
    assert "NaN" not in (tmp_path / "attempt.json").read_text()  # JSON for others too
    assert read_attempt(tmp_path / "nowhere") is None
    for text in ("", "[]", "{}", '{"attempt": 1, "state": "dead"}', '{"attempt": 1, "state": "done", "returns": "x"}'):
        assert parse_attempt(text) is None, text
    for more in (
        '"env_steps": null',
        '"process": "7"',
        '"seconds": "long"',
        '"rate": []',
        '"attempt": "2"',
        '"host": 3',
    ):
        assert parse_attempt(f'{{"attempt": 1, "state": "done", {more}}}') is None, more
    for text in ('["a"]', "[" * 100_000, '{"attempt": 1, "state": []}', '{"attempt": 1, "state": "done", "lines": 1}'):
        assert parse_attempt(text) is None, text
    assert parse_attempt('{"attempt": 1, "state": "done", "of a later version": 1}') == Attempt(1, "done")


def test_an_order_is_json_both_ways() -> None:
    one = Order("a", "/b", {"env": "é"}, 2, "/c", "s3://d")
    assert Order.from_json(one.to_json()) == one
    for text in ("", "[1]", '{"cell": "a"}', '{"cell": "a", "folder": "b", "recipe": {}, "x": 1}'):
        with pytest.raises(UsageError, match="this is no order of a cell"):
            Order.from_json(text)


@pytest.mark.parametrize(("stage", "waits"), [("done", False), ("failed", True), ("stopped", True)])
def test_only_an_end_that_no_summary_tells_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: Stage, waits: bool
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("rlbench.files.os.fsync", synced.append)
    Telling(tmp_path, 1, 60).end(stage)
    assert (told(tmp_path).state, bool(synced)) == (stage, waits)
