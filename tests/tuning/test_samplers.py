"""Samplers: whichever process asks, a trial's number and the trials before say what is proposed."""

import json
import warnings
from pathlib import Path

import numpy as np
import optuna
import pytest

from rlbench.errors import RunFolderError, UsageError
from rlbench.tunefile.cma import CmaEs
from rlbench.tunefile.samplers import check_sampler, open_sampler, sampler_names
from rlbench.tuning.importance import importance
from rlbench.tuning.journal import open_journal

NAMES = ["bruteforce", "cmaes", "nsgaii", "qmc", "random", "tpe"]  # gp takes seconds to begin


def proposals(name: str, count: int = 12, storage: object = None) -> list[dict[str, object]]:
    """What a study proposes, in which x near 0.3 and y near 20 score best."""
    study = optuna.create_study(direction="maximize", sampler=open_sampler(name), storage=storage)  # type: ignore[arg-type]
    return go_on(study, count)


def go_on(study: optuna.Study, count: int) -> list[dict[str, object]]:
    for _ in range(count):
        trial = study.ask()
        x = trial.suggest_float("x", 0.0, 1.0, step=0.01)
        y = trial.suggest_float("y", 1, 1000, log=True)
        k = trial.suggest_int("k", 1, 9)
        trial.suggest_categorical("c", ["a", "b"])
        study.tell(trial, -((x - 0.3) ** 2) - float(np.log(y / 20)) ** 2 / 10 - (k - 3) ** 2 / 100)
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "bruteforce"])
def test_a_search_is_repeatable(name: str) -> None:
    first, again = proposals(name), proposals(name)
    assert first == again
    assert len({json.dumps(one) for one in first}) > 8


def test_another_process_proposes_the_same(tmp_path: Path) -> None:
    """Half of the trials by one process, the others by another, that has read what the first one left."""
    whole = proposals("tpe", 24)
    path = tmp_path / "study.log"
    first = optuna.create_study(
        direction="maximize", sampler=open_sampler("tpe"), storage=open_journal(path), study_name="s"
    )
    go_on(first, 13)
    second = optuna.load_study(study_name="s", sampler=open_sampler("tpe"), storage=open_journal(path))
    assert go_on(second, 11) == whole


def test_cma_finds_the_best_and_keeps_no_pickle(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    found = proposals("cmaes", 90, open_journal(path))
    last = found[-15:]
    assert abs(np.mean([float(str(one["x"])) for one in last]) - 0.3) < 0.12
    assert abs(np.mean([np.log(float(str(one["y"])) / 20) for one in last])) < 0.7
    assert abs(np.mean([int(str(one["k"])) for one in last]) - 3) < 1.5
    assert "optimizer" not in path.read_text()  # as Optuna's own would store it
    study = optuna.create_study()
    assert CmaEs(0).infer_relative_search_space(study, None) == {}  # type: ignore[arg-type]


def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(NAMES) < set(sampler_names())
    for name in sampler_names():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            open_sampler(name)
    with pytest.raises(UsageError, match=r"x: unknown sampler 'tpee'. Known: .*\. Did you mean tpe\?"):
        check_sampler("tpee", "x")
    monkeypatch.setitem(__import__("sys").modules, "cmaes", None)
    with pytest.raises(UsageError, match=r"needs cmaes, which is not installed. Run: pip install 'rlbench\[tune\]'"):
        check_sampler("cmaes", "x")


def test_a_line_that_a_crash_cut_short_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    study = optuna.create_study(storage=open_journal(path), study_name="s")
    study.ask()
    whole = path.read_bytes()
    for cut in range(1, 40):
        path.write_bytes(whole + whole.splitlines()[-1][:cut])
        again = optuna.load_study(study_name="s", storage=open_journal(path))
        assert path.read_bytes() == whole
        assert len(again.trials) == 1
    running = optuna.load_study(study_name="s", storage=open_journal(path))
    path.write_bytes(whole + b'{"op_code": 4, "wor')  # while another process has it open
    running.ask()
    assert len(optuna.load_study(study_name="s", storage=open_journal(path)).trials) == 2


def test_a_damaged_journal_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    optuna.create_study(storage=open_journal(path), study_name="s")
    path.write_bytes(b"\x00\x01\n" + path.read_bytes())
    with pytest.raises(RunFolderError, match=r"study.log is damaged: .* begin in another --out") as e:
        open_journal(path)
    assert "\n" not in str(e.value)


def test_keys_are_told_from_chance() -> None:
    generator = np.random.default_rng(3)
    n = 40
    planted = generator.uniform(0, 1, n)
    chosen = generator.integers(0, 2, n)
    scores = -np.abs(planted - 0.5) * 10 + 2.0 * chosen + generator.normal(0, 0.3, n)
    values = {
        "nothing": generator.uniform(0, 1, n).tolist(),
        "planted": planted.tolist(),
        "chosen": ["yes" if one else "no" for one in chosen],
        "same": [1] * n,
    }
    found = {one.key: one for one in importance(scores.tolist(), values)}
    assert set(found) == {"nothing", "planted", "chosen"}
    assert found["planted"].share > found["planted"].chance
    assert found["chosen"].share > found["chosen"].chance
    assert found["nothing"].share < found["nothing"].chance
    assert found["planted"].p < 0.01 < found["nothing"].p
    exact = importance([float(i) for i in range(20)], {"key": ["a"] * 10 + ["b"] * 10})
    # Ranks 1 to 20 in two halves: between 500 of 665, corrected 1 - (165 / 665) * 19 / 18.
    assert exact[0].share == pytest.approx(1 - 165 / 665 * 19 / 18)


def test_chance_is_what_it_says() -> None:
    """Of keys without worth, one in twenty goes beyond it."""
    generator = np.random.default_rng(2)
    beyond = 0
    for _ in range(60):
        values = {str(k): generator.uniform(0, 1, 20).tolist() for k in range(5)}
        found = importance(generator.normal(0, 1, 20).tolist(), values)
        beyond += sum(one.share > one.chance for one in found)
    assert 5 <= beyond <= 27  # of 300; 15 are expected, with a deviation of 4


def test_too_little_is_said_to_be_nothing() -> None:
    assert importance([1.0] * 20, {"a": list(range(20))}) == ()
    assert importance([1.0, 2.0], {"a": [1, 2]}) == ()
