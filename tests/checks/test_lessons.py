"""Lessons: how long they last, with which hyper-parameters, and what is said of values that are not as known."""

from typing import Any

import pytest
import torch
from rlbench.agents.dqn import DQN, DQNConfig
from rlbench.agents.q_learning import QLearning, QLearningConfig
from torch import Tensor

from rlbench.agent import Agent, AgentConfig
from rlbench.checks import check
from rlbench.lessons import lesson, probes
from rlbench.lessons.asking import judged
from rlbench.lessons.known import mistaken, solve
from rlbench.lessons.lesson import Glance, suited, taught
from rlbench.probing.answers import LeftOut
from rlbench.probing.names import called
from rlbench.probing.request import subject
from rlbench.probing.subject import Subject
from rlbench.recipe.registry import find_agent, given_class
from rlbench.types import Spec


def made_of(cls: type[Agent]) -> Subject:
    return made(given_class(cls))


def made(agent: str, *overrides: str) -> Subject:
    one = subject(find_agent(agent), overrides)
    one.fit = one.try_courses()
    return one


class Clock:
    """A trial in which time goes by, and nothing else; two envs."""

    def __init__(self, updating: int = 0) -> None:
        self.env_steps, self.updating = 0, updating
        self.spec: Any = type("Spec", (), {"num_envs": 2})

    @property
    def updates(self) -> int:
        return self.env_steps * self.updating

    def go(self, steps: int) -> list[Any]:
        self.env_steps += 2 * steps
        return []


def lasts(right_at: set[int], updating: int = 0, **how: Any) -> tuple[int, bool]:
    """Env steps after which a lesson ends, and whether what was found there is right, where it is at these steps."""
    clock: Any = Clock(updating)
    found = taught(clock, lambda trial: Glance(trial.env_steps in right_at), least=400, most=1_600, **how)
    return clock.env_steps, found.right


def test_a_lesson_ends_when_two_looks_in_a_row_find_what_is_expected() -> None:
    first, second, third = 400, 400 + lesson.BETWEEN, 400 + 2 * lesson.BETWEEN
    assert lasts({first, second}) == (second, True)
    assert lasts({first, third, third + lesson.BETWEEN}) == (third + lesson.BETWEEN, True)


def test_values_on_their_way_to_others_are_not_taken_for_right() -> None:
    steps, right = lasts({400})
    assert steps >= 1_600
    assert not right


def test_a_lesson_is_given_up_after_so_many_updates_too() -> None:
    steps, _ = lasts(set(), updating=3)
    assert lesson.UPDATES <= 3 * steps < lesson.UPDATES + 3 * lesson.BETWEEN


def test_who_learns_nothing_of_what_some_do_not_learn_is_left_out() -> None:
    with pytest.raises(LeftOut, match="it learns nothing of episodes without an end"):
        lasts(set(), needs="of episodes without an end")
    assert lasts(set())[0] >= 1_600  # of what all learn it is not


class LearnsInObserve(QLearning):
    """Counts no updates and tells no metrics, as who learns where it sees; a time limit is a termination to it."""

    def observe(self, transition: Any) -> None:
        super().observe(transition._replace(terminated=transition.terminated | transition.truncated))
        super().update()
        self.updates = 0

    def update(self) -> dict[str, float]:
        return {}


def test_who_learns_in_observe_and_tells_nothing_of_it_is_not_left_out() -> None:
    found = check(LearnsInObserve, rows=["time-limit"]).rows[-1]
    assert (found.status, found.cause) == ("fails", "a time limit is taken for a termination")


def test_hyper_parameters_become_such_that_a_short_lesson_is_enough() -> None:
    dqn: Any = suited(made("dqn"))
    assert (dqn.gamma, dqn.learning_rate, dqn.tau, dqn.learning_starts, dqn.epsilon_end) == (0.8, 3e-3, 0.1, 64, 1.0)
    assert dqn.hidden == (32, 32)
    assert dqn.train_every == 1  # not that of courses
    q_learning: Any = suited(made("q_learning"))
    assert q_learning.learning_rate == 0.1  # higher as it is


class ByAnotherName(AgentConfig):
    discount: float = 0.99


class Discounting(QLearning):
    """Calls its discount otherwise."""

    Config = ByAnotherName

    def __init__(self, spec: Spec, config: ByAnotherName, streams: Any) -> None:
        super().__init__(spec, QLearningConfig(gamma=config.discount, learning_rate=0.1, epsilon_end=1.0), streams)


class Undiscounted(Discounting):
    """Has a discount, and makes no use of it."""

    def __init__(self, spec: Spec, config: ByAnotherName, streams: Any) -> None:
        super().__init__(spec, ByAnotherName(discount=1.0), streams)


class Slowly(Discounting):
    """Learns too little in a lesson."""

    def __init__(self, spec: Spec, config: ByAnotherName, streams: Any) -> None:
        super().__init__(spec, config, streams)
        self.config = self.config.model_copy(update={"learning_rate": 1e-4})


def test_a_discount_is_known_by_its_other_names() -> None:
    assert suited(made_of(Discounting)).model_dump() == {"discount": lesson.GAMMA}
    assert check(Discounting, rows=["delayed-reward"]).ok
    (failure,) = check(Undiscounted, rows=["delayed-reward"]).failures
    assert "Expected the values 0.64, 0.80, 1.00; came 1.00" in failure.evidence
    assert failure.cause == "nothing is discounted"  # where that is known, no other guess beside it
    (failure,) = check(Slowly, rows=["delayed-reward"]).failures
    assert "it learns slowly, by a step size of another name" in failure.cause
    chosen = check(Discounting, rows=["delayed-reward"], overrides={"discount": 0.5})
    assert chosen.ok


class OthersNames(AgentConfig):
    """As those call theirs who come from elsewhere."""

    actor_lr: float = 1e-4
    critic_lr: float = 1e-2
    lr_decay: float = 0.9
    step_size_schedule: str = "linear"
    buffer_size: int = 50_000
    warmup_steps: int = 1_000
    hidden_sizes: tuple[int, ...] = (256, 8)
    eps_start: float = 0.9
    eps_min: float = 0.01
    eps_decay: float = 0.995
    eps: float = 1e-8
    epsilon: float = 0.2
    ent_coef: float = 0.01


class NamedByOthers(Discounting):
    Config = OthersNames

    def __init__(self, spec: Spec, config: Any, streams: Any) -> None:
        super().__init__(spec, ByAnotherName(), streams)


def test_hyper_parameters_are_known_by_the_names_that_others_give_them() -> None:
    one = made_of(NamedByOthers)
    assert suited(one).model_dump() == {
        "actor_lr": 3e-3,
        "critic_lr": 1e-2,
        "lr_decay": 0.9,
        "step_size_schedule": "linear",
        "buffer_size": 2_000,
        "warmup_steps": 64,
        "hidden_sizes": (32, 8),
        "eps_start": 1.0,
        "eps_min": 1.0,
        "eps_decay": 1.0,  # a factor, since it is below 1
        "eps": 1e-8,
        "epsilon": 0.2,  # of a clip, perhaps
        "ent_coef": 0.0,
    }
    assert one.changes == ["warmup_steps 1000 -> 20", "buffer_size 50000 -> 240", "hidden_sizes [256, 8] -> [17, 8]"]
    chosen = suited(made(given_class(NamedByOthers), "eps_min=0.1", "actor_lr=1e-5")).model_dump()
    assert (chosen["eps_min"], chosen["actor_lr"], chosen["eps_start"]) == (0.1, 1e-5, 1.0)


def test_a_memory_is_a_replay_buffer_where_nothing_is_recurrent() -> None:
    class Replaying(AgentConfig):
        memory_size: int = 10_000

    class Recurrent(Replaying):
        memory: str = "gru"

    names = ("memory_size", "capacity")
    assert [called(Replaying(), name) for name in names] == ["", "memory_size"]
    assert [called(Recurrent(), name) for name in names] == ["memory_size", ""]


def test_a_number_of_steps_is_told_from_a_factor() -> None:
    for decay, name in ((0.99, "epsilon_factor"), (5_000, "epsilon_steps"), (0.01, "")):
        config = OthersNames(eps_decay=decay)
        assert [called(config, each) for each in ("epsilon_factor", "epsilon_steps")] == [
            "eps_decay" if each == name else "" for each in ("epsilon_factor", "epsilon_steps")
        ]


def test_what_the_user_chose_stays_as_it_is() -> None:
    dqn: Any = suited(made("dqn", "gamma=0.5", "hidden=[7]"), n_step=3)
    assert (dqn.gamma, dqn.hidden, dqn.n_step) == (0.5, (7,), 3)
    dqn = suited(made("dqn", "n_step=2"), n_step=3)
    assert dqn.n_step == 2


class CopiesSeldom(DQNConfig):
    tau: float = 1.0
    target_update_every: int = 1_000


class Hard(DQN):
    """A target network that is copied every thousand updates, as in the paper."""

    Config = CopiesSeldom


def test_a_target_network_that_is_copied_seldom_is_no_mistake() -> None:
    config: Any = suited(made_of(Hard))
    assert (config.tau, config.target_update_every) == (1.0, 4)
    assert check(Hard, rows=["time-limit"]).ok
    found = check("dqn", rows=["time-limit", "observed-reward"], overrides={"target_update_every": 500, "tau": 1.0})
    assert [row.status for row in found.rows[1:]] == ["holds", "left out"]
    assert found.rows[-1].why.startswith("with tau 1, target_update_every 500, values take longer")


def seen_by(q: Tensor) -> Tensor:
    return q.expand(3, *q.shape)


def test_the_mistake_is_named_that_leads_to_what_came() -> None:
    right = torch.from_numpy(solve(probes.CUT, 0.8))
    wrong = {text: torch.from_numpy(q) for text, q in mistaken(probes.CUT, 0.8).items()}
    most = torch.tensor([0.35, 0.35])
    assert judged(seen_by(right) + 0.3, right, most, wrong, "").right
    assert torch.equal(
        wrong.pop("the value of what follows is counted on after a termination too"), right
    )  # there is none
    for text, q in wrong.items():
        found = judged(seen_by(q) + 0.02, right, most, wrong, "something else")
        assert (found.right, found.cause) == (False, text)
    assert judged(seen_by(right) + 0.8, right, most, wrong, "something else").cause == "something else"
    found = judged(seen_by(right) * torch.nan, right, most, wrong, "something else")
    assert (found.right, found.came) == (False, "nan, nan")


def test_one_seed_that_is_wrong_is_enough() -> None:
    right = torch.from_numpy(solve(probes.ACTED, 0.8))
    came = seen_by(right).clone()
    came[1, 0, 1] = 0.0
    found = judged(came, right, torch.tensor([0.3]), {}, "")
    assert (found.right, found.expected, found.came) == (False, "the values (-1.00, 1.00)", "(-1.00, 0.00)")


class Silent(Agent):
    """Does what is seen, and says nothing: right where action 1 is where 1 is seen."""

    Config = AgentConfig

    def __init__(self, spec: Any, config: Any, streams: Any) -> None:
        self.spec = spec

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        return (obs.flatten(2)[..., 0] > 0).long()

    def observe(self, transition: Any) -> None:
        pass

    def update(self) -> dict[str, Tensor]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {"weight": torch.zeros(self.spec.num_seeds, 1)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def test_who_says_no_values_is_judged_by_what_it_does() -> None:
    found = {
        row.name: row for row in check(Silent, rows=["observed-action", "constant-reward", "rewarded-action"]).rows
    }
    assert found["observed-action"].status == "holds"
    assert found["rewarded-action"].status == "holds"
    assert found["constant-reward"].status == "left out"
    assert "says no values" in found["constant-reward"].why


def test_who_has_nothing_to_learn_is_not_asked() -> None:
    assert check("random", rows=["rewarded-action"]).rows[-1].why == "it has no state, and so learns nothing"


class Stubborn(Silent):
    """Always the same."""

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        return torch.zeros(obs.shape[:2], dtype=torch.int64)


def test_who_does_not_do_what_is_paid_for_is_told_so() -> None:
    found = check(Stubborn, rows=["observed-action"]).rows[-1]
    assert found.status == "fails"
    assert found.evidence.startswith("Expected the actions [0, 1]; came [0, 0], on Walk after 6,000 steps")
