"""A seed of one experiment counts once, by its longest history: in verdicts, curves, pictures and reports."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command import CARTPOLE, rlbench, succeeds

from rlbench.judge.comparison import compare
from rlbench.plots.curves import group_runs, pool
from rlbench.report.findings import gather
from rlbench.report.seeds import seeds as seeds_table
from rlbench.runfolder.history import read_runs
from rlbench.runfolder.pooling import TrainedSeed, count_once, experiment_of, note_of, spans

EVALUATED = ("--set", "eval_every=60", "--set", "eval_episodes=2")
RECIPE = {"env": "CartPole-v1", "agent": "dqn", "total_steps": 100, "dqn": {"gamma": 0.99}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of seeds 0 and 1: ``full``, ``half`` of it, ``copy``; ``late`` has seeds 1 to 3; ``other`` is no kin."""
    root = tmp_path_factory.mktemp("runs")
    falling = ("--set", "dqn.learning_rate_end=0.0")
    for name, more in {
        "full": ("--total-steps", "240"),
        "half": (),
        "falling": ("--total-steps", "240", *falling),
        "falling_half": falling,
        "late": ("--total-steps", "240", "--set", "seed=1", "--seeds", "3"),
        "other": ("--total-steps", "240", "--set", "dqn.gamma=0.5"),
    }.items():
        succeeds(*CARTPOLE, *EVALUATED, *more, "--out", root / name)
    shutil.copytree(root / "full", root / "copy")
    killed = shutil.copytree(root / "full", root / "killed")
    (killed / "summary.json").unlink()
    for name in ("episodes.csv", "evaluations.csv"):
        lines = (killed / name).read_text().splitlines(keepends=True)
        at = lines[0].split(",").index("env_steps")
        kept = [line for line in lines[1:] if int(line.split(",")[at]) <= 190]
        (killed / name).write_text("".join([lines[0], *kept]))
    return root


@pytest.mark.parametrize(
    ("names", "numbers", "counts"),
    [
        (("full", "half"), (0, 1), {"full": 2}),
        (("half", "full"), (0, 1), {"full": 2}),
        (("falling", "falling_half"), (0, 1), {"falling": 2}),
        (("killed", "full"), (0, 1), {"full": 2}),
        (("killed", "half"), (0, 1), {"killed": 2}),
        (("copy", "full"), (0, 1), {"copy": 2}),
        (("full", "copy", "half", "killed"), (0, 1), {"full": 2}),
        (("full", "late"), (0, 1, 2, 3), {"full": 2, "late": 2}),
        (("half", "late"), (0, 1, 2, 3), {"half": 1, "late": 3}),
    ],
)
def test_a_seed_of_one_experiment_counts_once_in_a_verdict(
    runs: Path, names: tuple[str, ...], numbers: tuple[int, ...], counts: dict[str, int]
) -> None:
    c = compare({"other": runs / "other", "x": [runs / name for name in names]})
    assert c.tables[0].agents[1].seeds == len(numbers)
    assert sorted(c.seeds["x"]["CartPole-v1"]) == list(numbers)
    assert c.to_dict()["seeds"]["x"]["CartPole-v1"] == [*c.seeds["x"]["CartPole-v1"]]
    (group,) = [x.scored for x in gather({"x": [runs / name for name in names]}).contestants]
    assert group is not None
    of = [seed.run.name for seed in group.seeds["CartPole-v1"]]
    assert {name: of.count(name) for name in dict.fromkeys(of)} == counts
    repeated = sum(3 if name == "late" else 2 for name in names) - len(numbers)
    assert [note for note in c.notes if f"{repeated} of {repeated + len(numbers)} seeds only repeat another" in note]
    if "late" not in names:  # runs of which nothing counts have no say
        assert [line for line in c.differences if "budget" in line] == []


def test_different_experiments_and_different_seeds_are_pooled_as_they_are(runs: Path) -> None:
    c = compare({"x": [runs / "full", runs / "other"], "y": runs / "late"})
    assert [agent.seeds for agent in c.tables[0].agents] == [4, 3]
    assert not [note for note in c.notes if "repeat" in note]
    assert any("pools different settings (gamma)" in text for text in c.warnings)


def test_seeds_that_both_have_are_told_though_one_trained_longer(runs: Path) -> None:
    c = compare([runs / "half", runs / "full"])
    assert any("2 seeds of full are also in half, episode by episode" in text for text in c.warnings)
    assert any("one seed of late is also in full" in text for text in compare([runs / "full", runs / "late"]).warnings)
    assert compare([runs / "full", runs / "copy"]).tables[0].contrasts[0].outcome == "same seeds"
    assert compare([runs / "full", runs / "half"]).tables[0].contrasts[0].outcome != "same seeds"


@pytest.mark.parametrize("what", ["returns", "evaluations"])
def test_curves_count_by_the_same_rule(runs: Path, what: str) -> None:
    for names in (("full", "half"), ("half", "full"), ("killed", "full"), ("copy", "full", "half")):
        (curve,) = group_runs([runs / name for name in names], what=what)  # type: ignore[arg-type]
        assert (curve.seeds, curve.planned) == ((0, 1), 2)
        longest = group_runs([runs / "full"], what=what)  # type: ignore[arg-type]
        assert curve.final() == longest[0].final()
    histories, _ = read_runs([runs / "half", runs / "late"], what)  # type: ignore[arg-type]
    (group,) = pool(histories)
    assert sorted(seed.number for seed, _ in group.seeds) == [0, 1, 2, 3]
    assert group.planned == 4
    assert "1 of 5 seeds only repeat another" in group.notes[0]


def test_what_was_to_take_longer_holds_no_value_of_what_was_not(runs: Path) -> None:
    """Half of seed 0's curve is no curve of seed 0: the mean ends where the smaller budget does."""
    (curve,) = group_runs([runs / "half", runs / "late"], window=1)
    at = curve.final()[0]
    assert at <= 120 < curve.x[-1]


def test_a_falling_learning_rate_makes_two_curves_of_two_budgets(runs: Path) -> None:
    curves = group_runs([runs / "falling", runs / "falling_half"])
    assert [(c.label, c.seeds) for c in curves] == [("dqn, total_steps=240", (0, 1)), ("dqn, total_steps=120", (0, 1))]


def test_an_agent_that_looks_at_its_budget_shows_it(runs: Path, tmp_path: Path) -> None:
    """Nothing in the settings says so, but the same seed did other things with another budget."""
    for name in ("falling", "falling_half"):
        copy = shutil.copytree(runs / name, tmp_path / name)
        recipe = copy / "recipe.toml"
        recipe.write_text(recipe.read_text().replace("learning_rate_end = 0.0", "secret = 0.0"))
    episodes = tmp_path / "falling_half" / "episodes.csv"
    *first, last = episodes.read_text().splitlines(keepends=True)
    fields = last.split(",")
    fields[first[0].split(",").index("episode_return")] = "77"
    episodes.write_text("".join([*first, ",".join(fields)]))
    assert len(group_runs([tmp_path / "falling", tmp_path / "falling_half"])) == 2
    c = compare({"x": [tmp_path / "falling", tmp_path / "falling_half"], "y": runs / "other"})
    assert c.tables[0].agents[0].seeds == 2
    assert any("with the same settings and another outcome" in note for note in c.notes)


@pytest.mark.parametrize("kind", ["curve", "profile", "scores", "threshold"])
def test_every_picture_says_which_seeds_were_passed_over(runs: Path, tmp_path: Path, kind: str) -> None:
    result = rlbench("plot", runs / "full", runs / "half", "--kind", kind, "--out", tmp_path / "p.png")
    assert result.exit_code == 0, result.output
    assert "note: CartPole-v1: dqn: 2 of 4 seeds only repeat another and do not count again: 0, 1 of" in result.stderr
    assert "2 seeds" in result.stdout


def test_the_report_marks_them(runs: Path) -> None:
    found = gather({"x": [runs / "full", runs / "half"]})
    assert found.tables[0].agents[0].seeds == 2
    assert seeds_table(found).count("not counted here") == 2


def test_the_command_says_it_in_text_and_json(runs: Path, tmp_path: Path) -> None:
    pooled = f"x={runs / 'full'},{runs / 'half'}"
    out = tmp_path / "found.json"
    said = rlbench("compare", runs / "other", pooled, "--out", out)
    assert said.exit_code == 0
    assert "2 of 4 seeds only repeat another" in " ".join(said.stdout.split())
    assert json.loads(out.read_text())["tables"][0]["agents"][1]["seeds"] == 2


def test_seeds_of_workers_are_the_same_seeds(runs: Path, tmp_path: Path) -> None:
    split = shutil.copytree(runs / "full", tmp_path / "split")
    recipe = split / "recipe.toml"
    recipe.write_text(
        recipe.read_text().replace("workers = 1", "workers = 2").replace("log_every = 10", "log_every = 7")
    )
    c = compare({"x": [runs / "full", split], "y": runs / "other"})
    assert c.tables[0].agents[0].seeds == 2


def trained(run: str, number: int, story: list[float], *, gamma: float = 0.99, over: bool = True) -> TrainedSeed:
    experiment = experiment_of({**RECIPE, "dqn": {"gamma": gamma}})
    return TrainedSeed(Path(run), experiment, number, 10.0 * len(story), over, np.array(story))


def test_count_once_by_hand() -> None:
    seeds = [
        trained("a", 0, [1, 2]),
        trained("b", 0, [1, 2, 3]),
        trained("b", 1, [9]),
        trained("c", 0, [1, 2, 3], over=False),
        trained("d", 0, [1, 2, 3, 4], gamma=0.5),  # another experiment, though the same has happened so far
        trained("e", 0, [7, 7], gamma=0.1),
        trained("f", 2, [], gamma=0.1),
        trained("g", 2, [], gamma=0.2),
    ]
    kept, repeats = count_once(seeds)
    assert kept == [1, 2, 4, 5, 6, 7]
    assert [(r.at, r.kept, r.agrees) for r in repeats] == [(0, 1, True), (3, 1, True)]
    newer = experiment_of({**RECIPE, "dqn": {"gamma": 0.99, "noise": 0.0}})  # of a version with one key more
    for story, count in (([1.0, 2.0], 1), ([1.0, 3.0], 2)):
        assert len(count_once([seeds[1], trained("h", 0, story)._replace(experiment=newer)])[0]) == count
    assert note_of(seeds, []) == ""
    assert spans([3, 1, 2, 7, 9, 10]) == "1 to 3, 7, 9, 10"


def test_budgets_are_no_part_of_an_experiment_and_settings_are() -> None:
    same = {"total_steps": 5, "workers": 3, "eval_every": 1, "track": ["wandb"], "seed": 9, "stop_when_solved": True}
    assert experiment_of(RECIPE) == experiment_of(RECIPE | same | {"num_envs": 1, "env_kwargs": {}})
    for change in ({"num_envs": 2}, {"env_kwargs": {"x": 1}}, {"env": "A-v1"}, {"dqn": {"gamma": 0.9}}, {"agent": "x"}):
        assert experiment_of(RECIPE | change) != experiment_of(RECIPE)
    mine = {"env": "CartPole-v1", "agent": "mine.py:Mine"}
    assert experiment_of(mine) == experiment_of(mine | {"agent": f"{Path.cwd() / 'mine.py'}:Mine"})
    assert experiment_of(mine) != experiment_of(mine | {"agent": "sub/mine.py:Mine"})
    for env in ("mine.py:MyEnv", "sub/../mine.py:MyEnv"):
        there = {"env": f"{Path.cwd() / 'mine.py'}:MyEnv", "agent": "dqn"}
        assert experiment_of(there) == experiment_of(there | {"env": env})
