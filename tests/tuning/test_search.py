"""A search from its file to its report, over runs that a function scores."""

import csv
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from stub_engine import Score, StubEngine, write_run

from rlbench.errors import RunFolderError, UsageError
from rlbench.files import write_text
from rlbench.recipe import Recipe
from rlbench.rollout.signals import Interrupts
from rlbench.tunefile.file import read_tune_file
from rlbench.tuning import whole
from rlbench.tuning.courses import estimate
from rlbench.tuning.crew import Crew
from rlbench.tuning.files import trials_text
from rlbench.tuning.finish import best_trial
from rlbench.tuning.report import SearchReport, key_importance
from rlbench.tuning.search import TrialLoop
from rlbench.tuning.study import SharedStudy

SEARCH = """
[base]
env = "CartPole-v1"
total_steps = 1_000
seeds = 6
[base.dqn]
learning_rate = 1e-3
n_step = 3
[space]
dqn.learning_rate = {low = 1e-4, high = 1e-1, log = true}
dqn.n_step = {low = 1, high = 8}
dqn.hidden = [[64, 64], [128]]
[search]
trials = 12
"""


def good(hyper: dict, seed: int) -> float:  # type: ignore[type-arg]
    """Best at one step; what is in `hidden` and the learning rate is worth nothing; seeds differ by up to 3."""
    return 100.0 - 10 * hyper["n_step"] + seed % 4


@pytest.fixture(autouse=True)
def _quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures, and what chance gives, take most of the time; the tests that are about them ask for them."""
    if "draws" not in request.keywords:
        monkeypatch.setattr("rlbench.tuning.importance.SHUFFLES", 10)
        monkeypatch.setattr("rlbench.tuning.files.save", lambda figure, path: path)


def search(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str = SEARCH,
    engine: StubEngine | None = None,
    out: str = "out",
    trials: int | None = None,
) -> tuple[SearchReport, list[str], list[str]]:
    """The report, its lines, and what was told on the way."""
    write_text(tmp_path / "search.toml", text)
    file = read_tune_file(tmp_path / "search.toml", trials=trials)
    monkeypatch.setattr(whole, "open_engine", lambda *_: engine or StubEngine(good))
    told: list[str] = []
    report, lines, signal = whole.carry_out(file, tmp_path / out, 1, told.append)
    assert report is not None
    assert signal == 0
    return report, lines, told


def joined(tmp_path: Path, text: str = SEARCH, out: str = "out") -> SharedStudy:
    write_text(tmp_path / "search.toml", text)
    return SharedStudy(tmp_path / out, read_tune_file(tmp_path / "search.toml"))


def trials_of(
    tmp_path: Path, text: str = SEARCH, engine: StubEngine | None = None, out: str = "out"
) -> tuple[SharedStudy, list[str]]:
    """As `search`, without what comes after the trials."""
    shared, told = joined(tmp_path, text, out), list[str]()
    with Interrupts() as interrupts:
        TrialLoop(shared, Crew(engine or StubEngine(good), 1, 2), told.append).run(interrupts)
    return shared, told


def states(shared: SharedStudy) -> Counter[str]:
    return Counter(trial.state.name for trial in shared.trials())


@pytest.mark.draws
def test_it_finds_what_is_better_and_says_so_on_fresh_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = StubEngine(good)
    report, lines, told = search(tmp_path, monkeypatch, engine=engine)
    assert report.values["dqn.n_step"] == 1
    assert report.comparison is not None
    assert report.comparison.verdicts[0].startswith(f"trial-{report.best} is better than default")
    assert report.comparison.seeds["default"]["CartPole-v1"] == (0, 1, 2, 3, 4, 5)
    assert sum("trial " in line and " of 12" in line for line in told) == 12
    trials = [order for order in engine.orders if order.cell.startswith("trial ")]
    assert all(order.recipe["seed"] == 1_000_000 and order.recipe["seeds"] == 3 for order in trials)
    assert trials[0].recipe["hyper"]["n_step"] == 3  # the base recipe comes first
    assert engine.closed
    best = Recipe.load(tmp_path / "out" / "best.toml")
    assert (best.hyper["n_step"], best.seed_numbers) == (1, [0, 1, 2, 3, 4, 5])
    assert best.to_toml() == report.recipe.to_toml()
    assert "Verdict: " in "\n".join(lines)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["best"]["trial"] == report.best
    with (tmp_path / "out" / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["trial"]) for row in rows] == list(range(12))
    assert rows[0]["dqn.hidden"] == "[64, 64]"
    assert float(rows[0]["score"]) == 71.0  # IQM of 70, 71, 72: seeds 1000000 to 1000002
    for name in ("importance.png", "parallel.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")


def test_the_keys_that_count_are_told_from_those_that_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlbench.tuning.importance.SHUFFLES", 100)
    shared, _ = trials_of(tmp_path, SEARCH.replace("trials = 12", "trials = 30\nsampler = 'random'"))
    found = key_importance(shared)
    assert found[0].key == "dqn.n_step"
    assert found[0].share > max(0.8, found[0].chance)
    assert all(one.p > 0.05 and one.share < 0.3 for one in found[1:])


def test_where_nothing_matters_the_best_was_chosen_for_luck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores are noise of seed and trial: what the best has on the tuning seeds it has not on fresh ones."""

    def noise(hyper: dict, seed: int) -> float:  # type: ignore[type-arg]
        return float(hash((round(hyper["learning_rate"], 12), seed)) % 1000)

    report, lines, _ = search(tmp_path, monkeypatch, SEARCH.replace("trials = 12", "trials = 15"), StubEngine(noise))
    found = report.selection
    assert found.tuning.value > found.fresh.value
    assert found.selected.value == pytest.approx(found.tuning.value - found.fresh.value)
    assert found.fresh == estimate([noise(report.recipe.hyper, seed) for seed in range(6)])  # all of them
    assert report.comparison is not None
    assert "cannot tell" in report.comparison.verdicts[0]
    assert any(line.startswith("Selection: the best of 15 scored") for line in lines)


def test_a_base_that_nothing_beats_is_said_to_be_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = SEARCH.replace("n_step = 3", "n_step = 1")
    report, lines, _ = search(tmp_path, monkeypatch, text, trials=5)
    assert report.unbeaten
    assert report.best == 0
    assert report.comparison is None
    assert not (tmp_path / "out" / "final" / "trial-0").exists()
    assert "no trial scored above it" in "\n".join(lines)


def test_a_study_of_one_process_is_repeatable(tmp_path: Path) -> None:
    """Beyond the first ten, which TPE draws at random."""
    tables = [trials_text(trials_of(tmp_path, SEARCH.replace("= 12", "= 14"), out=out)[0]) for out in ("a", "b")]
    assert tables[0] == tables[1]
    assert len(set(tables[0].splitlines())) == 15


def test_more_trials_go_on_where_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search(tmp_path, monkeypatch, trials=4)
    engine = StubEngine(good)
    report, _, _ = search(tmp_path, monkeypatch, engine=engine, trials=9)
    assert sum(report.counts.values()) == 9
    assert [order.cell for order in engine.orders if order.cell.startswith("trial ")] == [
        f"trial {k}" for k in range(4, 9)
    ]
    engine = StubEngine(good)
    again, _, _ = search(tmp_path, monkeypatch, engine=engine, trials=9)
    assert engine.orders == []
    assert again.to_dict() == report.to_dict()


def test_a_failed_trial_is_tried_again_and_then_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = StubEngine(good, {"trial 1": [1, None], "trial 2": [1, 1, 1], "trial 3": [2]})
    report, _, told = search(tmp_path, monkeypatch, engine=engine, trials=6)
    attempts = [
        (order.cell, order.attempt) for order in engine.orders if order.cell in ("trial 1", "trial 2", "trial 3")
    ]
    assert attempts == [("trial 1", n) for n in (1, 2, 3)] + [("trial 2", n) for n in (1, 2, 3)] + [("trial 3", 1)]
    assert report.counts == {"COMPLETE": 4, "FAIL": 2}
    assert "trial 1: killed by SIGKILL; it goes on from its checkpoint" in told
    assert any(line.startswith("trial 2: failed: code 1 was asked for") for line in told)
    rows = (tmp_path / "out" / "trials.csv").read_text().splitlines()
    assert rows[3].startswith("2,fail,,,,,code 1 was asked for")


def test_all_trials_failing_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = {f"trial {k}": [2] for k in range(99)}
    with pytest.raises(
        RunFolderError, match=r"none of the 5 trials .* has a score. The last said: code 2 was asked.* --trials 10$"
    ):
        search(tmp_path, monkeypatch, engine=StubEngine(good, dict(codes)), trials=5)
    mended, _, _ = search(tmp_path, monkeypatch, trials=10)  # as it says
    assert mended.counts == {"COMPLETE": 5, "FAIL": 5}
    with pytest.raises(RunFolderError, match="10 trials failed and none ended; the last: code 2 was asked for"):
        search(tmp_path, monkeypatch, engine=StubEngine(good, {k: [2] for k in codes}), trials=90, out="b")


def test_values_that_do_not_go_together_fail_that_trial_alone(tmp_path: Path) -> None:
    text = SEARCH.replace("dqn.hidden = [[64, 64], [128]]", "dqn.capacity = [100, 50_000]\ndqn.batch_size = [64, 512]")
    text = text.replace("[base.dqn]", "[base.dqn]\ncapacity = 50_000\nbatch_size = 64")
    shared, told = trials_of(tmp_path, text.replace("trials = 12", "trials = 12\nsampler = 'random'"))
    assert states(shared)["FAIL"] > 0
    assert states(shared)["COMPLETE"] > 3
    assert any("capacity 100 is smaller than batch_size 512" in line for line in told)


@pytest.mark.parametrize("left", [None, b""])  # an empty one, as a copy that was cut short leaves, tells nothing
def test_a_search_that_lost_its_study_books_no_score_under_other_values(
    left: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(tmp_path, monkeypatch, trials=4)
    (tmp_path / "out" / "study.log").unlink()
    if left is not None:
        (tmp_path / "out" / "study.log").write_bytes(left)
    before = (tmp_path / "out" / "trials.csv").read_bytes()
    for _ in range(2):
        engine = StubEngine(good)
        with pytest.raises(UsageError, match=r"which says what they were, is gone. Put it back, or .* --out") as e:
            search(tmp_path, monkeypatch, SEARCH.replace("[search]", "[search]\nsampler = 'qmc'"), engine, trials=4)
        assert "\n" not in str(e.value)
        assert engine.orders == []
    assert (tmp_path / "out" / "trials.csv").read_bytes() == before


def test_a_crash_before_the_first_run_loses_no_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    joined(tmp_path)
    (tmp_path / "out" / "study.log").unlink()
    report, _, _ = search(tmp_path, monkeypatch, trials=2)
    assert report.counts == {"COMPLETE": 2}


def test_what_a_run_chose_by_itself_is_no_other_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search(tmp_path, monkeypatch, trials=3)
    path = tmp_path / "out" / "final" / "default" / "recipe.toml"
    text = path.read_text().replace('envs_on = "auto"', 'envs_on = "host"').replace("workers = 1", "workers = 2")
    assert text != path.read_text()
    path.write_text(text.replace('agent = "dqn"', 'agent = "/place/of/its/own.py:dqn"'))
    report, _, _ = search(tmp_path, monkeypatch, trials=4)
    assert report.counts == {"COMPLETE": 4}


@pytest.mark.parametrize("place", ["trials/3", "final/default"])
def test_the_run_of_another_recipe_is_not_taken_for_this_one(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(tmp_path, monkeypatch, trials=3)
    folder = tmp_path / "out" / place
    other = read_tune_file(tmp_path / "search.toml")
    if place == "trials/3":  # nobody has asked for it yet: it comes from elsewhere
        write_run(folder, other.trial_recipe({"dqn.n_step": 7}), good)
        said = r"trials/3 holds a run with dqn.\w+ = .*, and the one asked for is with dqn"
    else:
        write_run(folder, other.base.replace(hyper={**other.base.hyper, "n_step": 7}), good)
        said = r"final/default holds a run with dqn.n_step = 7, and the one asked for is with dqn.n_step = 3"
    with pytest.raises(RunFolderError, match=said) as e:
        search(tmp_path, monkeypatch, trials=4)
    assert "Choose another --out, or move" in str(e.value)
    assert "\n" not in str(e.value)
    shutil.rmtree(folder)
    report, _, _ = search(tmp_path, monkeypatch, trials=4)
    assert report.counts == {"COMPLETE": 4}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("high = 8", "high = 7", r'its \[space\] has dqn.n_step \{"low": 1, "high": 8'),
        ("total_steps = 1_000", "total_steps = 2_000", r"its \[base\] has total_steps 1000, this one's 2000"),
        ("n_step = 3", "n_step = 2", r"its \[base\] has hyper"),
        ("trials = 12", "trials = 12\nseeds = 4", r"its trials have \[first_seed, seeds\] \[1000000, 3\]"),
    ],
)
def test_a_folder_of_another_search_is_refused(
    old: str, new: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined(tmp_path)
    with pytest.raises(UsageError, match=said) as e:
        search(tmp_path, monkeypatch, SEARCH.replace(old, new))
    assert "\n" not in str(e.value)
    assert "Choose another --out" in str(e.value)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").write_text("")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("")
    for out, said in (("file", "is a file"), ("run", "is a run folder"), ("notes", "holds no search, but mine.txt")):
        with pytest.raises(UsageError, match=said):
            joined(tmp_path, out=out)


def test_a_damaged_study_json_says_what_to_do(tmp_path: Path) -> None:
    joined(tmp_path)
    for text in ("", "[]"):
        (tmp_path / "out" / "study.json").write_text(text)
        with pytest.raises(RunFolderError, match=r"study.json is damaged: .* search anew in another --out\.$"):
            joined(tmp_path)


def test_a_database_holds_a_study_and_knows_whose_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = SEARCH.replace("trials = 12", f'trials = 4\nstorage = "sqlite:///{tmp_path}/studies.db"\nstudy = "mine"')
    report, _, _ = search(tmp_path, monkeypatch, text)
    assert report.counts == {"COMPLETE": 4}
    assert not (tmp_path / "out" / "study.log").exists()
    with pytest.raises(UsageError, match="has a study 'mine' already, of another search"):
        joined(tmp_path, text, out="elsewhere")
    bad = text.replace("sqlite:///", "nosuch://")
    with pytest.raises(UsageError, match=r"\[search\] storage: Optuna cannot open it") as e:
        joined(tmp_path, bad, out="third")
    assert "\n" not in str(e.value)


def test_a_trial_whose_process_died_is_taken_over_with_its_values(tmp_path: Path) -> None:
    first = joined(tmp_path)
    mine = first.next()
    assert mine is not None
    second = joined(tmp_path)
    other = second.next()
    assert other is not None
    assert (mine.number, other.number, other.taken_over) == (0, 1, False)  # the first one is held
    first.let_go(mine.number)  # as the system does for a process that ends
    taken = second.next()
    assert taken is not None
    assert (taken.number, taken.taken_over, taken.values) == (0, True, mine.values)
    second.finish(taken, 5.0, scores=[5.0])
    assert second.trials("COMPLETE")[0].value == 5.0
    second.let_go(other.number)
    assert best_trial(second).number == 0


def test_a_trial_whose_worker_still_saves_is_not_taken_over(tmp_path: Path) -> None:
    from rlbench.runfolder.lock import Lock

    first, second = joined(tmp_path), joined(tmp_path)
    mine = first.next()
    assert mine is not None
    mine.folder.mkdir(parents=True)
    first.let_go(mine.number)
    with Lock(mine.folder):
        other = second.next()
        assert other is not None
        assert other.number == 1
    taken = second.next()
    assert taken is not None
    assert taken.number == 0


def test_a_signal_saves_and_leaves_trials_to_the_next(tmp_path: Path) -> None:
    shared = joined(tmp_path)

    class Stopped(StubEngine):
        def begin(self, order, needs):  # type: ignore[no-untyped-def]
            super().begin(order, needs)
            interrupts.signal = 2

    engine = Stopped(good)
    with Interrupts() as interrupts:
        TrialLoop(shared, Crew(engine, 1, 0), lambda line: None).run(interrupts)
    assert [trial.state.name for trial in shared.trials()] == ["COMPLETE"] or len(shared.trials("RUNNING")) == 1
    again = joined(tmp_path).next()
    assert again is not None
    assert again.taken_over or again.number == 1


def test_a_full_disk_stops_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = StubEngine(good, {"trial 1": [74]})
    with pytest.raises(RunFolderError, match="Make room, and give the same command again"):
        search(tmp_path, monkeypatch, engine=engine)
    assert engine.closed
    assert states(trials_of(tmp_path)[0]) == {"COMPLETE": 12}


def test_hopeless_trials_are_stopped_by_their_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine here never ends a bad run by itself: only the search does, by what its evaluations say."""
    stopped: list[str] = []
    engine = Slow(good)

    def let_go(self: Crew, name: str) -> bool:
        stopped.append(name)
        self._let_go.add(name)
        engine.told.add(name)
        return True

    monkeypatch.setattr(Crew, "let_go", let_go)
    monkeypatch.setattr("rlbench.tuning.search.LOOK", 0.0)
    text = SEARCH.replace("trials = 12", "trials = 20\npruner = 'interval'\nsampler = 'random'")
    shared, told = trials_of(tmp_path, text, engine)
    assert states(shared)["PRUNED"] == len(stopped) > 2
    assert states(shared)["COMPLETE"] + states(shared)["PRUNED"] == 20
    assert best_trial(shared).params["dqn.n_step"] == 1
    assert any("stopped: at step 500 its interval ends at" in line for line in told)


class Slow(StubEngine):
    """Shows half of a run at first, and the whole of it only at the third look, unless it was told to stop."""

    def __init__(self, score: Score) -> None:
        super().__init__(score)
        self.told: set[str] = set()
        self.looks: dict[str, int] = {}

    def wait(self, seconds: float):  # type: ignore[no-untyped-def]
        from stub_engine import write_run

        from rlbench.engines.engine import CellEnd

        (order,) = self._hand
        self.looks[order.cell] = self.looks.get(order.cell, 0) + 1
        if order.cell in self.told:
            self._hand.clear()
            return [CellEnd(order.cell, 143)]
        if self.looks[order.cell] >= 3 or not order.cell.startswith("trial "):
            return super().wait(seconds)
        folder = Path(order.folder)
        write_run(folder, Recipe.from_content(order.recipe, "stub"), self.score)
        (folder / "summary.json").unlink()
        lines = (folder / "evaluations.csv").read_text().splitlines()
        (folder / "evaluations.csv").write_text("\n".join([line for line in lines if ",1000," not in line] + [""]))
        return []
