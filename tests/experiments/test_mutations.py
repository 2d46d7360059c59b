"""Planted bugs: the mechanism changes what it says and nothing else, and rows catch what they are to catch."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from conftest import make_spec
from rlbench.agents import dqn, dqn_memory
from rlbench.experiments.mutations.__main__ import mutations
from rlbench.experiments.mutations.mechanism import FILES, Edit, edited, plant
from rlbench.experiments.mutations.report import Answer, ask, blind_score, page, score
from rlbench.experiments.mutations.table import BLINDLY, MUTANTS

from rlbench.checks import check
from rlbench.probing.rows import ROWS
from rlbench.rng import Streams

QUICKLY = [  # caught within a second
    "dqn-target-shared", "dqn-half-capacity", "dqn-one-coin", "dqn-global-random", "dqn-forgets-target",
    "dqn-clips-the-stack", "dqn-memory-kept", "ppo-never-explores", "ppo-forgets-normaliser", "ppo-one-epoch",
    "sac-targets-never", "sac-forgets-temperature", "sarsa-forgets-choice", "q_learning-forgets-counters",
]  # fmt: skip
BLIND = {title: one.mutant for title, one in BLINDLY.items()}
BLIND_QUICKLY = [
    "dqn-explores-forbidden", "dqn-never-the-last", "dqn-stores-bytes", "dqn-epsilon-kept", "dqn-rate-rises",
    "ppo-rate-by-updates", "q_learning-first-env", "q_learning-zero-at-first", "reinforce-newest-episode",
]  # fmt: skip


def test_there_are_enough_and_each_has_a_row() -> None:
    assert len(MUTANTS) >= 44
    assert {m.row for m in MUTANTS.values()} <= set(ROWS)
    assert {m.agent for m in MUTANTS.values()} == set(FILES)
    published = " ".join(m.published for m in MUTANTS.values())
    for word in ("missing terminal state", "missing exploration", "wrong update rule", "wrong network update", "MTS"):
        assert word in published
    for name in ("gamma", "ent_coef", "exploration_final_eps", "learning_starts", "n_steps", "tau"):
        assert f"muPRL: {name}" in published


def test_blind_ones_are_no_others_and_each_says_what_is_worse() -> None:
    assert len(BLIND) >= 30
    assert not BLIND.keys() & MUTANTS.keys()
    assert {m.row for m in BLIND.values()} <= set(ROWS)
    for one in BLINDLY.values():
        assert one.worse
        assert bool(one.first) == (one.judged in ("leads", "near", "misleads", "alarm"))
        assert one.caught_at_first == (one.judged in ("leads", "near", "misleads"))


@pytest.mark.parametrize("title", [*MUTANTS, *BLIND])
def test_each_can_be_planted_and_is_another_class(title: str) -> None:
    mutant = (MUTANTS | BLIND)[title]
    cls = plant(mutant)
    assert cls.__name__ == FILES[mutant.agent][1]
    assert cls.__module__.startswith("rlbench.experiments.mutations.planted.")
    assert all(edit.old != edit.new for edit in mutant.edits)


def test_what_is_planted_acts_and_the_agent_stays_as_it_is() -> None:
    cls = plant(MUTANTS["dqn-always-explores"])
    spec, config = make_spec(), dqn.DQNConfig(epsilon_steps=10)
    assert cls.Config is not dqn.DQNConfig  # type: ignore[attr-defined]
    healthy, broken = dqn.DQN(spec, config, Streams([0])), cls(spec, config, Streams([0]))
    healthy.env_steps = broken.env_steps = 10
    assert (healthy.epsilon(), broken.epsilon()) == (0.05, 1.0)


def test_a_mistake_in_a_file_that_another_imports_reaches_it() -> None:
    cls = plant(MUTANTS["dqn-memory-kept"])
    spec = make_spec()
    agent = cls(spec, cls.Config(memory="gru"), Streams([0]))  # type: ignore[attr-defined]
    started = torch.ones(1, 1, dtype=torch.bool)
    for one, kept in ((agent, True), (dqn.DQN(spec, dqn.DQNConfig(memory="gru"), Streams([0])), False)):
        one.begin(started, explore=True)
        one.act(torch.ones(1, 1, 4), explore=True)
        one.begin(started, explore=True)
        assert bool(one.memory.any()) is kept
    assert dqn.WithMemory is dqn_memory.WithMemory


def test_what_is_replaced_is_there_once() -> None:
    assert edited("a b", [Edit("b", "c")]) == "a c"
    for text in ("a", "b b"):
        with pytest.raises(ValueError, match="expected once"):
            edited(text, [Edit("b", "c")])


@pytest.mark.parametrize("title", [*QUICKLY, *BLIND_QUICKLY])
def test_it_is_caught_by_the_row_that_names_it(title: str) -> None:
    answer = ask((MUTANTS | BLIND)[title])
    assert answer.caught, answer


@pytest.mark.planted
@pytest.mark.parametrize("title", [title for title in MUTANTS | BLIND if title not in (*QUICKLY, *BLIND_QUICKLY)])
def test_others_are_caught_too(title: str) -> None:
    if title in BLINDLY and BLINDLY[title].why:
        pytest.skip(f"it slips through: {BLINDLY[title].why}")
    answer = ask((MUTANTS | BLIND)[title])
    assert answer.caught, answer


@pytest.mark.parametrize("row", ["own-coins", "no-global-random", "replay-keeps", "target-network", "updates-due"])
def test_the_healthy_agent_passes_where_a_mutant_is_caught(row: str) -> None:
    titles = [title for title in QUICKLY if MUTANTS[title].row == row]
    for agent, given in {(MUTANTS[t].agent, tuple(MUTANTS[t].given.items())) for t in titles}:
        check(agent, rows=[row], overrides=dict(given)).raise_for_failures()


def test_the_page_says_what_was_not_caught() -> None:
    one, other = list(MUTANTS.values())[:2]
    answers = [Answer(one, "fails", "Expected 1 | came 5", 1.0), Answer(other, "holds", "", 0.5)]
    assert score(answers) == "1 of 2 caught by the row that names them: 50%."
    text = page(answers, 0)
    assert r"Expected 1 \| came 5" in text
    assert f"Not caught: {other.agent}, {other.fault}." in text


def test_the_page_keeps_what_blind_ones_were_caught_by_at_first() -> None:
    titles = ("dqn-counts-calls", "dqn-one-step", "dqn-epsilon-kept")
    answers = [Answer(BLIND[title], "fails", "Expected 1, came 5", 1.0) for title in titles]
    assert blind_score(answers) == "Blind: 1 of 3 caught at first: 33%; 3 now."
    text = page([], 0, answers)
    assert "| `by-env-steps`, leads | `by-env-steps` | yes |" in text
    assert "| **no** | `heeded` | yes |" in text
    assert "| **no**: false alarm of `explores-as-told` | `explores-as-told` | yes |" in text
    assert "Of those that were caught at first, what was said: 1 lead to the mistake." in text
    assert "Not caught now" not in text
    missed = [Answer(BLIND["sac-larger-critic"], "holds", "", 1.0)]
    assert "- sac, targets take the larger of the two critics: on few states" in page([], 0, missed)


def said(*words: str) -> list[str]:
    result = CliRunner().invoke(mutations, words, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output.splitlines()


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    one, total = said("table", "--only", "dqn-one-coin", "--out", str(tmp_path / "TABLE.md"))
    assert one.startswith("caught   dqn-one-coin")
    assert total == "1 of 1 caught by the row that names them: 100%."
    text = (tmp_path / "TABLE.md").read_text("utf-8")
    assert "| dqn | one random number decides for all envs of all seeds | classic | `own-coins` | yes |" in text


AT_RANDOM = """
import torch
from rlbench.agents.dqn import DQN


class AtRandom(DQN):
    def act(self, obs, *, explore):
        action = super().act(obs, explore=explore)
        chance = torch.from_numpy(self.explore.host(obs.shape[1]))
        return action if explore else (action + (chance > 0.5)) % self.num_actions
"""


def test_false_alarms_are_told_with_their_seed(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(AT_RANDOM, "utf-8")
    wrong = f"{tmp_path}/mine.py:AtRandom"
    lines = said("healthy", "dqn", wrong, "--repetitions", "2", "--first", "5", "--rows", "greedy-is-fixed")
    assert lines[0].startswith("dqn: 2 repetitions, 0 rows failed;")
    assert lines[1].startswith(f"{wrong}: 2 repetitions, 2 rows failed;")
    assert [line.partition(": Expected")[0] for line in lines[2:4]] == [f"  seed {n}: greedy-is-fixed" for n in (5, 6)]
    assert lines[4] == "8 rows asked, 2 failed."
