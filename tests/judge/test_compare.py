"""`compare`: what is said of runs made by hand, whose truth is known, and of runs that are broken, few or unlike."""

import json
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from html import escape, unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import CARTPOLE, mistake, succeeds

import rlbench
from rlbench.errors import UsageError
from rlbench.judge.comparison import Comparison, compare
from rlbench.judge.evidence import read_run, score_of, time_to
from rlbench.judge.text import latex, text
from rlbench.report.heat import heat_map

BUDGET = 1000
GOOD = [410.0, 455, 470, 480, 430, 490, 465, 440, 475, 460]
BAD = [200.0, 260, 310, 180, 240, 290, 225, 270, 205, 250]


def write_run(
    folder: Path,
    scores: Sequence[float | None],
    *,
    env: str = "CartPole-v1",
    evaluations: Mapping[int, Sequence[tuple[int, float]]] | None = None,
    keys: str = "",
    hyper: str = "learning_rate = 0.001",
    summary: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
    first: int = 0,
) -> Path:
    """A run folder of one seed per score; its episodes are told apart by folder name. ``summary`` {}: not ended."""
    folder.mkdir(parents=True)
    recipe = f"env = '{env}'\nagent = 'dqn'\nseed = {first}\nseeds = {len(scores)}\n{keys}\n"
    recipe += "" if "total_steps" in keys else f"total_steps = {BUDGET}\n"
    (folder / "recipe.toml").write_text(f"{recipe}[dqn]\n{hyper}\n")
    (folder / "run.json").write_text(json.dumps({"versions": {"gymnasium": "1.4.0", **(versions or {})}}))
    table = {str(first + i): score for i, score in enumerate(scores)}
    if summary is None:
        summary = {
            "final_eval_return": table, "best_eval_return": table, "stopped_because": "total_steps", "solved_at": 475.0
        }  # fmt: skip
    if summary:
        (folder / "summary.json").write_text(json.dumps(summary))
    rows = evaluations or {first + i: [(500, s / 2), (BUDGET, s)] for i, s in enumerate(scores) if s is not None}
    lines = [f"{seed},{at},10,{value},0,0,0,0,0.1" for seed, story in rows.items() for at, value in story]
    header = "seed,env_steps,episodes,mean_return,std_return,min_return,max_return,mean_length,wall_seconds"
    (folder / "evaluations.csv").write_text("\n".join([header, *lines]) + "\n")
    episodes = [f"{first + i},0,0,{10 + i},{hash_of(folder.name)},9,{i}.5" for i in range(len(scores))]
    header = "seed,env,episode,env_steps,episode_return,episode_length,wall_seconds"
    (folder / "episodes.csv").write_text("\n".join([header, *episodes]) + "\n")
    return folder


def hash_of(name: str) -> int:
    """A number per name, the same in every process."""
    return sum(ord(c) * 31**i for i, c in enumerate(name)) % 10_007


def outcome(c: Comparison, i: int = 0) -> str:
    return c.decisive.contrasts[i].outcome


def test_better_and_worse(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "a", BAD), write_run(tmp_path / "b", GOOD)
    c = compare([a, b])
    assert outcome(c) == "better"
    assert c.verdicts[0].startswith("b is better than a: IQM +2")
    assert "probability of improvement 1.00 [" in c.verdicts[0]
    d = c.tables[0].contrasts[0].difference
    assert d.iqm.value == pytest.approx(np.mean(sorted(GOOD)[2:8]) - np.mean(sorted(BAD)[2:8]))
    assert d.mean.value == pytest.approx(np.mean(GOOD) - np.mean(BAD))
    assert d.iqm.low < d.iqm.value < d.iqm.high
    assert outcome(compare([b, a])) == "worse"
    assert (c.differences, c.warnings, c.labels) == ((), (), ("a", "b"))


def test_the_result_is_plain_data(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "a", BAD), write_run(tmp_path / "b", GOOD)
    c = rlbench.compare({"old": a, "new": [b]})
    content = json.loads(json.dumps(c.to_dict(), allow_nan=False))
    assert content["labels"] == ["old", "new"]
    assert content["tables"][0]["agents"][1]["scores"] == GOOD
    assert content["tables"][0]["agents"][0]["attainment"]["median_steps"] is None  # infinite
    assert content["tables"][0]["contrasts"][0]["difference"]["iqm"]["value"] > 0
    assert content["runs"] == {"old": [str(a)], "new": [str(b)]}
    with pytest.raises(AttributeError):
        c.score = "best"  # type: ignore[misc]


def test_it_prints_and_shows_what_the_command_says(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "a<", BAD), write_run(tmp_path / "b", GOOD)
    c = rlbench.compare([a, b])
    assert str(c) == text(c)
    assert repr(c) == f"<comparison on CartPole-v1: {c.verdicts[0]}>"
    html = c._repr_html_()
    cells = [unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", html)]
    rows = [re.split(r"\s{2,}", line.strip()) for line in text(c).splitlines() if line.startswith("  ")]
    for name, *numbers in rows:  # the header of the first table names none
        if name in ("seeds", "IQM", "mean", "area under curve", "difference of IQM", "verdict"):
            at = cells.index(name)
            assert cells[at + 1 : at + 1 + len(numbers)] == numbers
    assert len(rows) > 12
    assert f"<b>{escape(c.verdicts[0])}</b>" in html
    assert "a&lt;" in html
    assert "a<" not in html


def test_few_seeds_that_cannot_tell_say_how_many_would(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", [100, 300, 200, 250, 150])
    b = write_run(tmp_path / "b", [130, 330, 230, 280, 180])
    c = compare([a, b])
    assert outcome(c) == "undecided"
    assert "These 5 seeds cannot tell b and a apart: IQM +30 [" in c.verdicts[0]
    assert "more per agent would, if the difference is what it seems" in c.verdicts[0]
    assert [w for w in c.warnings if "has 5 seeds: with fewer than 10" in w] == list(c.warnings)
    assert len(c.warnings) == 2
    assert repr(c).endswith(" (2 warnings)>")
    assert "<li>" in c._repr_html_().partition("Beware:")[2]


def test_a_difference_of_next_to_nothing_and_of_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(100, 30, 10)
    a = write_run(tmp_path / "a", scores.tolist())
    b = write_run(tmp_path / "b", (scores + 0.1).tolist())
    assert "; the difference seen is so small that a thousand would not show it." in compare([a, b]).verdicts[0]
    assert "; no difference is seen." in compare([a, write_run(tmp_path / "c", scores.tolist())]).verdicts[0]


def test_three_seeds_are_too_few_however_far_apart(tmp_path: Path) -> None:
    c = compare([write_run(tmp_path / "a", [1, 2, 3]), write_run(tmp_path / "b", [501, 502, 503])])
    assert outcome(c) == "too few seeds"
    assert "3 seeds cannot tell b and a apart, whatever the score" in c.verdicts[0]
    four = compare([write_run(tmp_path / "c", [1, 2, 3, 4]), write_run(tmp_path / "d", [501, 502, 503, 504])])
    assert outcome(four) == "better"


def test_one_seed_has_no_interval(tmp_path: Path) -> None:
    c = compare([write_run(tmp_path / "a", [1]), write_run(tmp_path / "b", [500])])
    assert outcome(c) == "too few seeds"
    assert c.verdicts[0].startswith("One seed cannot tell b and a apart, whatever the score: IQM +499 (no interval)")
    assert np.isnan(c.tables[0].agents[0].aggregates.iqm.low)
    assert c.to_dict()["tables"][0]["agents"][0]["aggregates"]["iqm"] == {"value": 1.0, "low": None, "high": None}
    assert "(no interval)" in text(c)


def test_ties_everywhere(tmp_path: Path) -> None:
    c = compare([write_run(tmp_path / "a", [500] * 10), write_run(tmp_path / "b", [500] * 10)])
    assert outcome(c) == "no difference"
    assert c.verdicts == ("b and a score the same with every seed: these environments cannot tell them apart.",)
    assert c.tables[0].agents[0].aggregates.mean == (500, 500, 500)
    c = compare([tmp_path / "a", tmp_path / "b"], references={"CartPole-v1": (0, 1000)})
    assert c.tables[0].agents[0].optimality_gap == (0.5, 0.5, 0.5)


def test_ties_on_an_environment_without_a_known_scale(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / f"{name}-{env}", scores, env=env)
        for name in "ab"
        for env, scores in (("One-v0", [5.0] * 10), ("Two-v0", GOOD if name == "a" else BAD))
    ]
    c = compare({"a": runs[:2], "b": runs[2:]})
    assert c.tables[0].agents[0].optimality_gap is None
    assert outcome(c) == "worse"
    gaps = [line.split() for line in text(c).splitlines() if "optimality gap" in line]
    assert [gap[2:] == ["-", "-"] for gap in gaps].count(True) == 1  # what is missing to a score that nobody knows
    assert "One-v0: all seeds score 5, which makes no scale" in text(c)
    heat = heat_map(c.tables, c.overall, labels=c.labels, envs=("One-v0", "Two-v0"))
    assert [heat.squares[name, "One-v0"].word for name in "ab"] == ["no scale"] * 2
    assert all(math.isnan(heat.squares[name, "One-v0"].value) for name in "ab")
    assert not any(math.isnan(heat.squares[name, "Two-v0"].value) for name in "ab")
    assert heat.over == "all environments"  # where it counts the same for all


def test_the_same_run_twice(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", GOOD)
    copy = shutil.copytree(a, tmp_path / "copy")
    for other in (a, copy):
        c = compare([a, other])
        assert outcome(c) == "same seeds"
        assert c.verdicts[0].endswith("are the same seeds of the same runs: there is nothing to compare.")
    assert compare([a, a]).labels == ("a (1)", "a (2)")


def test_seeds_that_both_share_are_told(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "a", GOOD), write_run(tmp_path / "b", BAD, first=10)
    c = compare({"x": [a, b], "y": a})
    assert [w for w in c.warnings if "10 seeds of y are also in x" in w]


def test_a_seed_trained_twice_counts_once(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", GOOD)
    copy = shutil.copytree(a, tmp_path / "copy")
    c = compare({"x": [a, copy], "y": write_run(tmp_path / "b", BAD)})
    assert c.tables[0].agents[0].seeds == 10
    assert [note for note in c.notes if "10 of 20 seeds only repeat another" in note]


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ({"keys": "total_steps = 500"}, {}, "not the same budget (total_steps): a 500, b 1000"),
        ({"keys": "max_episode_steps = 100"}, {}, "not the same time limit (max_episode_steps): a 100, b 0"),
        (
            {"keys": "final_eval_episodes = 20"},
            {"keys": "final_eval_episodes = 5"},
            "not the same number of episodes in the final evaluation",
        ),
        (
            {"hyper": "[env_kwargs]\nx = 1"},
            {},
            'not the same arguments of the environment (env_kwargs): a {"x": 1}, b {}',
        ),
        ({"versions": {"gymnasium": "1.3.0"}}, {}, "not the same version of gymnasium: a 1.3.0, b 1.4.0"),
        (
            {"summary": {}, "keys": "total_steps = 3000"},
            {"summary": {}, "keys": "total_steps = 3000", "evaluations": {i: [(2000, x)] for i, x in enumerate(BAD)}},
            "not all have ended; env steps so far: a 1,000, b 2,000",
        ),
    ],
)
def test_what_makes_runs_not_comparable_is_said_first(
    tmp_path: Path, one: dict[str, Any], other: dict[str, Any], said: str
) -> None:
    c = compare([write_run(tmp_path / "a", GOOD, **one), write_run(tmp_path / "b", BAD, **other)])
    assert [line for line in c.differences if said in line]
    assert c.verdicts[0].startswith("Not like with like, so read with care: b is worse than a")
    shown = text(c)
    assert shown.startswith("These runs are not comparable as they stand:")
    assert shown.index("not comparable") < shown.index("Not like with like")


def test_environments_made_anew_are_another_condition(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "a", GOOD), write_run(tmp_path / "b", BAD)
    recipe = b / "recipe.toml"
    recipe.write_text(f"fresh_envs = true\n{recipe.read_text()}")
    assert any("(fresh_envs)" in text for text in compare([a, b]).differences)


def test_different_hyper_parameters_are_what_is_compared(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", GOOD)
    b = write_run(tmp_path / "b", BAD, hyper="learning_rate = 0.1")
    assert compare([a, b]).differences == ()
    pooled = compare({"both": [a, b], "b": write_run(tmp_path / "c", BAD)})
    assert "both: CartPole-v1: pools different settings (learning_rate)" in pooled.warnings


def test_versions_of_an_environment_are_different_environments(tmp_path: Path) -> None:
    a = [write_run(tmp_path / "a", GOOD), write_run(tmp_path / "a0", GOOD, env="CartPole-v0")]
    b = write_run(tmp_path / "b", BAD)
    c = compare({"a": a, "b": b})
    assert [line for line in c.differences if "CartPole-v0 is left out: b has no run on it; CartPole-v1 is" in line]
    with pytest.raises(UsageError, match="no environment on which all were trained: a0 has CartPole-v0"):
        compare([a[1], b])


def test_several_environments_are_normalised_and_averaged(tmp_path: Path) -> None:
    catch = {"a": [0.0, 0.2, -0.1, 0.3], "b": [0.9, 1.0, 0.8, 1.0]}
    runs = {
        name: [
            write_run(tmp_path / f"{name}1", GOOD if name == "a" else BAD),
            write_run(tmp_path / f"{name}2", catch[name], env="Mine-v0"),
        ]
        for name in "ab"
    }
    c = compare(runs, references={"Mine-v0": (-1, 1)}, thresholds={"CartPole-v1": 455})
    assert [table.env for table in c.tables] == ["CartPole-v1", "Mine-v0"]
    assert c.overall is not None
    normalised = [(np.array(x) - 22) / (475 - 22) for x in (GOOD, BAD)]
    scaled = [(np.array(catch[name]) + 1) / 2 for name in "ab"]
    for agent, x, y in zip(c.overall.agents, normalised, scaled, strict=True):
        assert agent.aggregates.mean.value == pytest.approx((x.mean() + y.mean()) / 2)
        assert agent.aggregates.median.value == pytest.approx(np.median([x.mean(), y.mean()]))
        gap = (np.maximum(0, 1 - x).mean() + np.maximum(0, 1 - y).mean()) / 2
        assert agent.optimality_gap is not None
        assert agent.optimality_gap.value == pytest.approx(gap)
    assert c.overall.contrasts[0].difference.improvement.value == pytest.approx(0.5)  # loses one, wins one
    assert outcome(c) == "undecided"
    assert [t.contrasts[0].outcome for t in c.tables] == ["worse", "better"]
    assert [note for note in c.notes if "-1 is 0 and 1 is 1 (given)" in note]
    found = c.tables[0].agents[0].attainment
    assert found is not None
    assert (found.threshold, found.reached, found.seeds, found.median_steps) == (455, 7, 10, 1000)
    assert "all environments" in text(c)


def test_three_contestants_are_corrected(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    means = {"a": 100, "b": 124, "c": 100}
    paths = [write_run(tmp_path / name, rng.normal(mean, 20, 10).tolist()) for name, mean in means.items()]
    two, three = compare(paths[:2]), compare(paths)
    assert three.decisive.contrasts[0].p_holm == pytest.approx(2 * two.decisive.contrasts[0].p_holm)
    assert [note for note in three.notes if "Holm" in note]
    assert "p (Holm)" in text(three)
    assert [c.baseline for c in three.decisive.contrasts] == ["a", "a"]


def test_scores(tmp_path: Path) -> None:
    story = {0: [(100, 0.0), (300, 10.0), (500, 20.0)]}
    run = write_run(tmp_path / "a", [7.0], evaluations=story)
    seed = read_run(run).seeds[0]
    assert (score_of(seed, "final", BUDGET), score_of(seed, "best", BUDGET)) == (7, 7)
    # 200 steps at 5 and 200 at 15 on average, then 500 at 20; divided by 900 steps.
    assert score_of(seed, "auc", BUDGET) == pytest.approx((200 * 5 + 200 * 15 + 500 * 20) / 900)
    assert score_of(seed, "auc", 300) == pytest.approx(5)
    assert np.isnan(score_of(seed, "auc", 50))
    assert time_to(seed, 10.0) == (300, True)
    assert time_to(seed, 21.0) == (500, False)
    c = compare([run, write_run(tmp_path / "b", [8.0], evaluations=story)], score="best")
    assert [w for w in c.warnings if "selected by evaluation" in w]


def test_area_under_the_curve_ends_where_the_shortest_run_does(tmp_path: Path) -> None:
    flat = {i: [(500, 100.0), (1000, 100.0)] for i in range(10)}
    late = {i: [(500, 100.0), (1000, 100.0), (2000, 900.0)] for i in range(10)}
    a = write_run(tmp_path / "a", GOOD, evaluations=flat)
    b = write_run(tmp_path / "b", GOOD, evaluations=late, keys="total_steps = 2000")
    c = compare([a, b], score="auc")
    assert [agent.aggregates.mean.value for agent in c.tables[0].agents] == [100, 100]


def test_no_area_without_evaluations(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "a", GOOD), write_run(tmp_path / "b", BAD)
    lines = (a / "evaluations.csv").read_text().splitlines(keepends=True)
    (a / "evaluations.csv").write_text("".join(lines[:-2]))  # the last seed's two
    c = compare([a, b], score="auc")
    assert c.tables[0].agents[0].seeds == 9
    assert [note for note in c.notes if "1 of 10 seeds without an evaluation are left out" in note]
    (a / "evaluations.csv").unlink()
    assert compare([a, b]).tables[0].agents[0].auc is None
    assert [line.split()[3] for line in text(compare([a, b])).splitlines() if "area under curve" in line] == ["-"]
    with pytest.raises(UsageError, match="no evaluation of CartPole-v1 in the first 1,000 steps"):
        compare([a, b], score="auc")


def test_an_unfinished_run_counts_by_its_newest_evaluation(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", GOOD, summary={})
    c = compare([a, write_run(tmp_path / "b", BAD)])
    assert c.tables[0].agents[0].scores == tuple(GOOD)
    assert [note for note in c.notes if "has not ended: scores are of its newest evaluations, at step 1,000" in note]
    for content in ('{"stopped_because": "interr', "[" * 99_999, "3"):
        (a / "summary.json").write_text(content)
        c = compare([a, tmp_path / "b"])
        assert [note for note in c.notes if "summary.json is damaged" in note]
        assert c.tables[0].agents[0].scores == tuple(GOOD)


def test_a_seed_that_diverged_is_not_passed_over(tmp_path: Path) -> None:
    stories = {i: [(500, 11.0), (1000, s)] for i, s in enumerate(GOOD)} | {9: [(500, 11.0)]}
    c = compare([write_run(tmp_path / "a", [*GOOD[:9], None], evaluations=stories), write_run(tmp_path / "b", BAD)])
    assert c.tables[0].agents[0].scores[-1] == 11.0
    assert [note for note in c.notes if "seed 9 has no final score: its last evaluation, at step 500" in note]


@pytest.mark.parametrize("harm", ["1,1000,10,abc,0,0,0,0,0.1\n", "3,1000\n", "0,1,10,3.0,0,0,0,0,0.1\n", "\x00\xff\n"])
def test_a_damaged_line_is_named_and_the_rest_used(tmp_path: Path, harm: str) -> None:
    a = write_run(tmp_path / "a", GOOD, summary={})
    with (a / "evaluations.csv").open("a") as file:
        file.write(harm)
    c = compare([a, write_run(tmp_path / "b", BAD)])
    assert [note for note in c.notes if "evaluations.csv is damaged at line 22: " in note]
    assert c.tables[0].agents[0].seeds == 10


def test_what_is_left_of_a_group_is_compared(tmp_path: Path) -> None:
    for name, content in (("empty", ""), ("noise", "\x00["), ("text", "env = 3"), ("deep", "a = " + "[" * 9999)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.toml").write_text(content)
    nothing = write_run(tmp_path / "nothing", GOOD, summary={})
    (nothing / "evaluations.csv").write_text("")
    bad = [tmp_path / name for name in ("empty", "noise", "text", "deep", "nothing")]
    c = compare({"a": [write_run(tmp_path / "a", GOOD), *bad], "b": write_run(tmp_path / "b", BAD)})
    assert outcome(c) == "worse"
    for path in bad:
        assert [note for note in c.notes if str(path) in note and note.endswith("left out")], path
    with pytest.raises(UsageError, match=r"nothing to compare of nothing: .*holds no evaluation yet"):
        compare([nothing, tmp_path / "b"])


def test_a_folder_of_runs_a_pattern_and_names(tmp_path: Path) -> None:
    write_run(tmp_path / "mine/CartPole-v1/dqn-1", GOOD[:5])
    write_run(tmp_path / "mine/CartPole-v1/dqn-2", GOOD[5:], first=5)
    write_run(tmp_path / "mine/CartPole-v1/dqn-1/workers/0", BAD)
    b = write_run(tmp_path / "b", BAD)
    for spec in (tmp_path / "mine", f"{tmp_path}/mine/*/dqn-?", f"x={tmp_path}/mine/CartPole-v1", f"{tmp_path}/m*"):
        c = compare([spec, b])
        assert c.tables[0].agents[0].scores == tuple(GOOD), spec
    joined = f"{tmp_path}/mine/CartPole-v1/dqn-1,{tmp_path}/mine/CartPole-v1/dqn-2"
    assert compare([joined, f"B={b}"]).labels == ("dqn-1 and 1 more", "B")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a"], "a comparison needs two agents or more"),
        (["a", "missing"], "missing is no run folder: there is no such folder"),
        (["a", "none-*"], "no folder matches none-*"),
        (["a", "folder"], "holds no recipe.toml"),
        (["a", ","], "an agent without a run folder"),
        (["x=a", "x=b"], "the name 'x' was given twice"),
        (["x=", "a"], "is not of the form NAME=RUN"),
        (["a", "b", "--reference", "CartPole-v1=5"], "is not of the form CartPole-v1=22,500"),
        (["a", "b", "--reference", "CartPole-v1=5,5"], "low below high"),
        (["a", "b", "--reference", "CartPole-v1=nan,5"], "is not of the form"),
        (["a", "b", "--reference", "Pong-v5=1,5"], "a reference for 'Pong-v5', which is not compared"),
        (["a", "b", "--threshold", "x"], "is not of the form CartPole-v1=475"),
        (["a", "b", "--confidence", "95"], "confidence must be at least 0.5"),
        (["a", "b", "--json", "--latex"], "--json and --latex both print"),
        (["a", "b", "--json", "out.json"], "--json prints, and takes no file. To write one: --out out.json"),
        (["a", "b", "--latex", "-"], "--latex prints, and takes no file"),
        (["a", "b", "--out", "a/recipe.toml/out.json"], "cannot write"),
        (["a", "b", "--out", "out.html"], "the name must end in .json, .tex or .txt"),
        (["a", "b", "--out", ""], "an empty text"),
        (["a", "b", "--score", "luck"], "luck"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("a"), GOOD)
    write_run(Path("b"), BAD)
    Path("folder").mkdir()
    assert words in mistake("compare", *arguments)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("my_run"), GOOD)
    write_run(Path("b"), BAD)
    shown = succeeds("compare", "my_run", "b", "--out", "out.json", "--out", "out.tex", "--out", "out.txt")
    assert shown.startswith("b is worse than my_run: IQM −2")
    assert max(map(len, shown.splitlines())) <= 110
    table = {line.split("  ")[1].strip(): line for line in shown.splitlines() if line.startswith("  ")}
    assert table["seeds"].split()[-2:] == ["10", "10"]
    assert table["reached 475"].endswith("3 of 10   0 of 10") or "3 of 10" in table["reached 475"]
    assert "worse" in table["verdict"]
    content = json.loads(Path("out.json").read_text())
    assert content["verdicts"][0] in " ".join(shown.split())
    assert json.loads(succeeds("compare", "my_run", "b", "--json")) == content
    assert Path("out.txt").read_text() == shown
    assert succeeds("compare", "my_run", "b", "--latex").strip() == Path("out.tex").read_text().strip()


def test_latex_is_balanced_and_escaped(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "a_1", GOOD), write_run(tmp_path / "b", BAD)
    made = latex(compare([a, b])).splitlines()
    rows = [line for line in made if line.endswith(r"\\")]
    assert [line.count("&") for line in rows] == [6, 6, 6]
    assert r"a\_1" in rows[1]
    assert "−" not in "".join(line for line in made if not line.startswith("%"))
    assert made[-1] == r"\end{tabular}"
    assert "% b is worse than a_1" in made[0]


def test_how_many_episodes_a_score_rests_on(tmp_path: Path) -> None:
    for name, count in (("a", 4), ("b", 12)):
        keys = ("--set", f"final_eval_episodes={count}", "--set", "eval_every=60", "--set", "eval_episodes=3")
        succeeds(*CARTPOLE, *keys, "--out", tmp_path / name)
    both = (tmp_path / "a", tmp_path / "b")
    said = succeeds("compare", *both)
    assert re.search(r"\n +episodes per seed +4 +1[0-2]( to 1[0-2])?\n", said)
    (tmp_path / "a" / "summary.json").unlink()  # its newest evaluation counts
    found = json.loads(succeeds("compare", *both, "--json"))
    assert found["tables"][0]["agents"][0]["episodes"] == [3, 3]
    assert "episodes per seed" not in succeeds("compare", *both, "--score", "auc")
