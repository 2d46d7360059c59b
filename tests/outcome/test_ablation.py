"""`rlbench ablate`: what is a switch, what its cells are, and that the table says what they found."""

import contextlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from command import mistake, one_line, rlbench

from rlbench.driving.prepare import Recipes, Trust
from rlbench.driving.run import SweepEnd, SweepPlan
from rlbench.errors import UsageError
from rlbench.judge.comparison import Comparison
from rlbench.outcome import ablation
from rlbench.outcome.ablation import (
    Ablation,
    AblationResult,
    Worth,
    file_of,
    found_in,
    verdict_lines,
    worth_table,
    write_plain,
)
from rlbench.outcome.switches import Switch, sizes_kept, switches_of
from rlbench.recipe import Recipe
from rlbench.recipe.registry import BUILT_IN, find_agent
from rlbench.stats.estimates import Estimate
from rlbench.sweep.folder import open_sweep
from rlbench.sweep.index import CellState

RECIPE: dict[str, Any] = {
    "seeds": 5, "total_steps": 120, "eval_every": 60, "eval_episodes": 2, "final_eval_episodes": 2, "device": "cpu",
    "track": ["none"], "workers": 1, "dqn.hidden": [8], "dqn.batch_size": 8, "dqn.learning_starts": 20,
    "dqn.capacity": 100,
}  # fmt: skip
WORDS = [word for key, value in RECIPE.items() for word in ("--set", f"{key}={json.dumps(value)}")]


def recipe(**changes: Any) -> Recipe:
    return Recipe.load("dqn/CartPole-v1", overrides={**RECIPE, **{k.replace("__", "."): v for k, v in changes.items()}})


def keys(found: list[Switch]) -> dict[str, tuple[Any, Any]]:
    return {switch.key: (switch.on, switch.off) for switch in found}


def test_switches_of_the_recipe_for_cartpole() -> None:
    """Those that the recipe turned on, with what is there without them; sizes are none."""
    found, notes = switches_of(recipe())
    assert keys(found) == {
        "dqn.layer_norm": (True, False),
        "dqn.learning_rate_end": (0.0, None),
        "dqn.max_grad_norm": (10.0, 0.0),
        "dqn.n_step": (3, 1),
        "dqn.double": (True, False),
    }
    assert notes == ["mask_actions is no switch here: CartPole-v1 says no action_mask"]
    assert [switch.title for switch in found] == [
        "layer_norm", "learning_rate_end=0", "max_grad_norm=10", "n_step=3", "double",
    ]  # fmt: skip
    assert {"learning_rate", "tau", "hidden"} <= set(sizes_kept(recipe(), found))
    assert "double" not in sizes_kept(recipe(), found)


def test_what_is_off_is_no_switch() -> None:
    found, _ = switches_of(recipe(dqn__double=False, dqn__n_step=1, dqn__max_grad_norm=0.0))
    assert {switch.name for switch in found} == {"layer_norm", "learning_rate_end"}
    (word,) = (switch for switch in switches_of(recipe(dqn__loss="squared"))[0] if switch.name == "loss")
    assert (word.on, word.off) == ("squared", "huber")


def test_a_mask_is_a_switch_where_the_environment_says_one() -> None:
    taxi = Recipe.load("dqn/Taxi-v4")
    assert "mask_actions" in {switch.name for switch in switches_of(taxi)[0]}


@pytest.mark.parametrize("agent", sorted(BUILT_IN))
def test_every_agent_can_do_without_its_switches(agent: str) -> None:
    """What switches a key off is a value that the agent takes."""
    config = find_agent(agent).cls.Config
    for name, field in config.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and "off" in extra:
            assert getattr(config(**{name: extra["off"]}), name) == extra["off"]


def test_keys_by_name_and_by_what_to_compare_with() -> None:
    found, _ = switches_of(recipe(), ["double", "dqn.learning_rate=0.001", "tau", "num_envs=1", "learning_rate_end"])
    assert keys(found) == {
        "dqn.double": (True, False),
        "dqn.learning_rate": (0.003, 0.001),
        "dqn.tau": (0.05, 0.005),
        "num_envs": (4, 1),
        "dqn.learning_rate_end": (0.0, None),
    }
    (unset,) = switches_of(recipe(), ["learning_rate_end=unset"])[0]
    assert unset.off is None


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("duoble", "unknown key 'duoble'. Did you mean double?"),
        ("ppo.clip", "unknown key 'ppo.clip'"),
        ("env=Taxi-v4", "unknown key 'env'"),
        ("gamma", "Give the value to compare with: --keys gamma=VALUE"),
        ("double=7", "--keys: dqn.double: Input should be a valid boolean, unable to interpret input, got 7"),
        ("learning_rate=-1", "--keys: dqn.learning_rate: Input should be greater than 0, got -1"),
        ("double=true", "the recipe has that value already"),
    ],
)
def test_keys_that_are_none(key: str, said: str) -> None:
    with pytest.raises(UsageError) as e:
        switches_of(recipe(), [key])
    assert said in str(e.value)


def test_nothing_to_switch() -> None:
    plain = recipe(dqn__double=False, dqn__n_step=1, dqn__max_grad_norm=0.0, dqn__layer_norm=False)
    with pytest.raises(UsageError, match="twice"):
        switches_of(plain, ["tau", "dqn.tau"])
    with pytest.raises(UsageError, match="nothing in this recipe is a switch"):
        switches_of(Recipe.load(env="CartPole-v1", agent="random"))


@pytest.mark.parametrize("put_in", [False, True])
def test_each_cell_differs_from_the_baseline_by_its_switch(put_in: bool, tmp_path: Path) -> None:
    whole = recipe().placed()
    switches, _ = switches_of(whole)
    asked = Ablation(whole, tuple(switches), put_in, tmp_path / "out")
    write_plain(asked)
    recipes = Recipes(file_of(asked), Trust((whole.agent,), (), whole.imports))
    made = {cell.name: recipes.recipe(cell) for cell in recipes.cells}
    assert list(made) == [asked.baseline, *map(asked.cell, switches)]
    baseline = made.pop(asked.baseline)
    expected = whole if not put_in else whole.replace(hyper={**whole.hyper, **{s.name: s.off for s in switches}})
    assert baseline == expected
    for switch in switches:
        other = made[asked.cell(switch)]
        value = switch.on if put_in else switch.off
        assert other == baseline.replace(hyper={**baseline.hyper, switch.name: value})
        assert other != baseline


def test_worth_is_what_a_switch_adds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of the two is the baseline: with it minus without it, the most first."""
    low, high = Estimate(10.0, 5.0, 15.0), Estimate(100.0, 90.0, 110.0)

    class Fake:
        name = outcome = ""

    def contrast(label: str, value: float, outcome: str) -> Any:
        found = Fake()
        found.label, found.outcome, found.p_holm = label, outcome, 0.01  # type: ignore[attr-defined]
        found.difference = Fake()  # type: ignore[attr-defined]
        found.difference.iqm = Estimate(value, value - 5, value + 7)  # type: ignore[attr-defined]
        return found

    a, b = Switch("dqn.a", True, False), Switch("dqn.b", 3, 1)
    for put_in, signs in ((False, -1), (True, 1)):
        asked = Ablation(recipe(), (a, b), put_in, tmp_path)
        worse, better = ("better", "worse") if put_in else ("worse", "better")
        made = [
            ablation._worth(b, contrast("", signs * -20.0, better), high, put_in=put_in),
            ablation._worth(a, contrast("", signs * 90.0, worse), low, put_in=put_in),
        ]
        assert [one.verdict for one in made] == ["hurts", "helps"]
        assert [one.worth.value for one in made if one.worth] == [-20.0, 90.0]
        assert made[1].worth == (Estimate(90.0, 85.0, 97.0) if put_in else Estimate(90.0, 83.0, 95.0))
        found = AblationResult(high, (made[1], made[0], Worth(Switch("dqn.c", 1, 0))), 5, (), None)
        lines = worth_table(asked, found)
        assert [line.split()[0] for line in lines[3:]] == ["a", "b=3", "c=1"]
        assert lines[3].endswith("helps")
        assert lines[5].split() == ["c=1", "0", "-", "-", "-", "not", "finished"]
        assert verdict_lines(found)[0].startswith("a helps: +90 [")


@pytest.mark.slow
def test_an_ablation_from_the_command_line(tmp_path: Path) -> None:
    """Run, looked at, run again: the second time its table comes at once."""
    out = tmp_path / "out"
    words = ["ablate", "dqn/CartPole-v1", *WORDS, "--keys", "double,n_step", "--out", out]
    dry = rlbench(*words, "--dry-run")
    assert dry.exit_code == 0
    assert "2 switches of dqn, each left out:" in dry.stdout
    assert "n_step=3  off: 1" in dry.stdout
    assert "3 cells of 5 seeds, 1,800 env steps in all" in dry.stdout
    assert not out.exists()
    said = rlbench(*words, "--progress", "plain")
    assert said.exit_code == 0, said.output
    assert "dqn on CartPole-v1, each left out in turn: IQM of final greedy returns" in said.stdout
    assert "without-double" in said.stdout
    found = json.loads(rlbench(*words, "--json").stdout)
    assert {one["key"] for one in found["switches"]} == {"dqn.double", "dqn.n_step"}
    made = json.loads(rlbench("compare", out, "--json").stdout)
    assert made["labels"] == ["everything", "without-double", "without-n_step"]
    for one in found["switches"]:
        (contrast,) = (
            c for c in made["tables"][0]["contrasts"] if c["label"] == f"without-{one['key'].partition('.')[2]}"
        )
        assert one["worth"]["value"] == -contrast["difference"]["iqm"]["value"]
        assert one["p_holm"] == contrast["p_holm"]
    cells = tomllib.loads((out / "sweep.toml").read_text())["cell"]
    assert cells[1] == {"name": "without-double", "dqn.double": False, "dqn.n_step": 3}
    assert "another recipe" in mistake(*words, "--set", "dqn.gamma=0.9")
    other = Path(str(out).replace("out", "foreign"))
    other.mkdir()
    (other / "thesis.tex").write_text("")
    assert "holds other things than a sweep" in mistake(*words[:-1], other)
    assert "--confidence must be" in mistake(*words, "--confidence", "2")


def test_cells_that_failed_are_told_of_with_the_command_that_tries_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(plan: SweepPlan, view: object, *, retries: int, command_again: str) -> SweepEnd:
        states = {cell.name: CellState("failed", retries + 1, message="it broke") for cell in plan.cells}
        return SweepEnd(plan.out, plan.cells, states, (), command_again)

    monkeypatch.setattr("rlbench.driving.run.run_sweep", fail)
    monkeypatch.setattr("rlbench.engines.early.nursery", lambda wanted: contextlib.nullcontext())
    monkeypatch.setattr(sys.modules["rlbench.cli.ablate"], "_say", lambda *asked, **how: None)
    monkeypatch.setattr(sys, "argv", ["rlbench", "ablate", "dqn/CartPole-v1"])
    said = rlbench("ablate", "dqn/CartPole-v1", "--keys", "double", "--out", tmp_path / "out", "--json").stderr
    assert said.count("note: failed 3 times: ") == 2
    assert "CELL/log.txt. Try again, from their checkpoints: rlbench ablate dqn/CartPole-v1" in said


def test_a_dry_run_names_cells_as_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlbench.driving.probe._rate", lambda *_: (100.0, ""))
    said = rlbench("ablate", "dqn/CartPole-v1", *WORDS, "--keys", "double", "--dry-run").stdout
    assert "\n  everything: 100 env steps/s, 6s\n  without-double: 100 env steps/s, 6s\n" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mine = 1\n", r"there is a .*mine/plain.toml already, and of another recipe. Give another folder: --out DIR"),
        (None, r"mine holds other things than a sweep. Give another folder: --out DIR"),
    ],
)
def test_a_folder_of_the_users_own_is_left_as_it_is(
    text: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlbench.engines.early.begin", lambda: subprocess.Popen(["true"], stdin=-1, stdout=-1))
    out = tmp_path / "mine"
    out.mkdir()
    words = ["ablate", "dqn/CartPole-v1", *WORDS, "--keys", "double", "--out", out]
    if text is None:  # an ablation's plain.toml, in a folder that has become the user's since
        whole = recipe().placed()
        write_plain(Ablation(whole, tuple(switches_of(whole, ["double"])[0]), False, out))
        (out / "notes.txt").write_text("mine")
    else:
        (out / "plain.toml").write_text(text)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert re.search(said, mistake(*words))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_what_did_not_begin_leaves_no_recipe_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlbench.engines.early.begin", lambda: subprocess.Popen(["true"], stdin=-1, stdout=-1))
    words = ["ablate", "dqn/CartPole-v1", *WORDS, "--out", tmp_path / "out", "--with", "cpus=-1"]
    assert "cpus" in mistake(*words, "--keys", "double")
    assert not (tmp_path / "out" / "plain.toml").exists()
    assert "cpus" in mistake(*words, "--keys", "n_step")


def test_intervals_are_called_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of what chance gives is no 95 %; in JSON the number stands beside them."""
    asked = Ablation(recipe(), (Switch("dqn.double", True, False),), False, tmp_path)
    found = AblationResult(None, (Worth(asked.switches[0]),), 0, (), None, 0.5)
    assert worth_table(asked, found)[0].endswith("IQM of final greedy returns, 50 % intervals")
    whole = recipe().placed()
    asked = Ablation(whole, tuple(switches_of(whole, ["double"])[0]), False, tmp_path / "out")
    begun(asked)
    monkeypatch.setattr(sys.modules["rlbench.cli.ablate"], "_carry_out", lambda *_, **__: None)
    monkeypatch.setattr("rlbench.engines.early.begin", lambda: subprocess.Popen(["true"], stdin=-1, stdout=-1))
    words = ["ablate", "dqn/CartPole-v1", *WORDS, "--keys", "double", "--out", asked.out, "--confidence", "0.8"]
    assert json.loads(rlbench(*words, "--json").stdout)["confidence"] == 0.8
    assert "80 % intervals" in rlbench(*words).stdout


def begun(asked: Ablation) -> None:
    """Write what a sweep is that has no finished cell."""
    write_plain(asked)
    file = file_of(asked)
    (asked.out / "sweep.toml").write_text(file.text)
    names = Recipes(file, Trust((asked.recipe.agent,), (), asked.recipe.imports)).names
    kept = {"recipes": names.recipes, "envs": names.envs, "agents": names.agents}
    (asked.out / "sweep.json").write_text(json.dumps({"format": 1, "names": kept}))


def test_what_has_not_finished_is_said(tmp_path: Path) -> None:
    whole = recipe().placed()
    asked = Ablation(whole, tuple(switches_of(whole, ["double"])[0]), False, tmp_path / "out")
    begun(asked)
    found = found_in(asked, open_sweep(asked.out))
    assert found.baseline is None
    assert [one.verdict for one in found.worths] == ["not finished"]
    assert any("'everything' has no finished cell yet" in text for text in found.warnings)
    assert isinstance(found.comparison, Comparison | None)
    assert "unknown recipe" in one_line(rlbench("ablate", "nothing/like-it"))
