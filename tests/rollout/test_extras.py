"""What environments say besides observations: found, checked, carried, masked by, stored, and there again on resume."""

from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
import pytest
import torch
from conftest import make_spec, registering
from gymnasium import spaces
from rlbench.agents.dqn import DQN, DQNConfig
from torch import Tensor

import rlbench
from rlbench import Learner, Transition
from rlbench.acting import choose, wanted
from rlbench.agent import AgentConfig
from rlbench.border.make import EnvMaker, env_maker
from rlbench.errors import AgentError, EnvError, UsageError
from rlbench.functional import legal_q, nth_legal
from rlbench.learner import lift
from rlbench.recipe import Recipe
from rlbench.recipe.build import build
from rlbench.recipe.registry import given_class
from rlbench.replay import Replay
from rlbench.rng import Streams
from rlbench.rollout.env_batch import EnvBatch
from rlbench.rollout.evaluation import EVAL_COPIES, Evaluator
from rlbench.rollout.loop import run
from rlbench.types import Extra


class Gates(gymnasium.Env[Any, Any]):
    """Four doors, of which two are open, others at every step; who goes through a closed one is thrown out.

    ``says``: where it tells which are open: "info", "method" or "key". ``fault``: what it does wrong at its third step.
    """

    action_space = spaces.Discrete(4)
    taken: list[int] = []

    def __init__(self, says: str = "info", fault: str = "", lasts: int = 6) -> None:
        self.says, self.fault, self.lasts, self.t = says, fault, lasts, 0
        place = spaces.Box(0, 100, (2,), np.float32)
        self.observation_space = (
            spaces.Dict({"place": place, "action_mask": spaces.MultiBinary(4)}) if says == "key" else place
        )

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        self.open()
        return self.look(), self.info()

    def open(self) -> None:
        self.mask = np.zeros(4, np.int8)
        self.mask[self.np_random.choice(4, 2, replace=False)] = 1
        if self.t == 3:
            if self.fault == "closed":
                self.mask[:] = 0
            if self.fault == "twos":
                self.mask[0] = 2
            if self.fault == "short":
                self.mask = self.mask[:3]

    def look(self) -> Any:
        place = np.array([self.t, 1], np.float32)
        return {"place": place, "action_mask": self.mask.copy()} if self.says == "key" else place

    def info(self) -> dict[str, Any]:
        if self.says != "info" or (self.fault == "silent" and self.t == 3):
            return {}
        return {"action_mask": self.mask, "other": 1}

    def __getattr__(self, name: str) -> Any:
        if name == "action_masks" and self.__dict__.get("says") == "method":
            return lambda: self.mask.astype(bool)
        raise AttributeError(name)

    def step(self, action: int) -> Any:
        if not self.mask[action]:
            raise RuntimeError(f"door {action} is closed")
        self.t += 1
        self.open()
        over = self.t >= self.lasts
        if over:
            self.mask = np.zeros(4, np.int8)  # nothing may be done any more
        return self.look(), float(action == 3), over, False, self.info()


class Safe(Gates):
    """Lets anybody through."""

    def step(self, action: int) -> Any:
        self.mask[:] = 1
        return super().step(action)


_registered = registering({"extras/Gates-v0": Gates, "extras/Safe-v0": Safe})
SAYS = ["info", "method", "key"]


def gates(says: str = "info", fault: str = "", wants: tuple[str, ...] = ("action_mask",)) -> EnvMaker:
    return env_maker("extras/Gates-v0", {"says": says, "fault": fault}, wants=wants)


def through(mask: Tensor) -> Tensor:
    """The first open door."""
    return mask.int().argmax(-1)


@pytest.mark.parametrize("says", SAYS)
def test_transitions_carry_what_is_said(says: str) -> None:
    envs = EnvBatch(gates(says), [3, 4], 2)
    assert envs.spec.extras == {"action_mask": Extra((4,), torch.bool)}
    assert envs.spec.obs_shape == (2,)
    envs.reset()
    for t in range(1, 14):
        before = envs.extras["action_mask"]
        assert (before.shape, before.dtype) == ((2, 2, 4), torch.bool)
        assert (before.sum(-1) == 2).all()
        transition, _ = envs.step(through(before))
        assert torch.equal(transition.extras["action_mask"], before)
        after = transition.next_extras["action_mask"]
        if t % 6:
            assert torch.equal(after, envs.extras["action_mask"])
        else:  # what the episode's end said, and not the next beginning
            assert transition.terminated.all()
            assert not after.any()
        inner: Any = [env.unwrapped for env in envs.envs]
        assert torch.equal(
            envs.extras["action_mask"].reshape(4, 4), torch.tensor(np.array([e.mask for e in inner])) > 0
        )


def test_who_wants_nothing_gets_nothing() -> None:
    envs = EnvBatch(gates("key", wants=()), [3])
    assert envs.spec.extras == {}
    assert envs.spec.obs_shape == (6,)  # the mask is a part of what is observed
    envs.reset()
    assert envs.extras == {}
    assert EnvBatch(env_maker("CartPole-v1", wants=("action_mask",)), [3]).spec.extras == {}


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ("closed", r"step 3 of episode 0 \(seed 7, env 0\): its action_mask allows no action, and the episode goes on"),
        ("twos", r"step 3 of episode 0 .*info\['action_mask'\] is \[.*\] where zeros and ones are due"),
        ("short", r"step 3 of episode 0 .*info\['action_mask'\] has shape \(3,\) where \(4,\) is due"),
        ("silent", r"step 3 of episode 0 .*info\['action_mask'\] is missing"),
    ],
)
def test_what_is_wrong_with_a_mask_is_said(fault: str, what: str) -> None:
    envs = EnvBatch(gates("info", fault), [7])
    envs.reset()
    for _ in range(2):
        envs.step(through(envs.extras["action_mask"]))
    before, state = envs.extras, envs.state_dict()
    with pytest.raises(EnvError, match=what):
        envs.step(through(envs.extras["action_mask"]))
    assert envs.extras is before
    assert envs.state_dict()["actions"][0].tolist() == state["actions"][0].tolist()


def test_resumed_it_says_the_same() -> None:
    envs = EnvBatch(gates("key"), [3, 4], 2)
    envs.reset()
    for _ in range(9):
        envs.step(through(envs.extras["action_mask"]))
    twin = EnvBatch(gates("key"), [3, 4], 2)
    twin.load_state_dict(envs.state_dict())
    assert torch.equal(twin.extras["action_mask"], envs.extras["action_mask"])


class Wishes(gymnasium.Env[Any, Any]):
    """Says a goal, as numbers, in its info."""

    observation_space, action_space = spaces.Box(0, 1, (1,), np.float32), spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return np.zeros(1, np.float32), {"goal": [0.5, 2.0]}

    def step(self, action: int) -> Any:
        return np.zeros(1, np.float32), 0.0, False, False, {"goal": (float(action), 1.0)}


def test_other_things_are_told_as_numbers() -> None:
    gymnasium.register("extras/Wishes-v0", entry_point=Wishes, max_episode_steps=50)
    envs = EnvBatch(env_maker("extras/Wishes-v0", wants=("goal", "action_mask")), [1])
    assert envs.spec.extras == {"goal": Extra((2,), torch.float32)}
    envs.reset()
    transition, _ = envs.step(torch.ones(1, 1, dtype=torch.int64))
    assert transition.extras["goal"].tolist() == [[[0.5, 2.0]]]
    assert transition.next_extras["goal"].tolist() == [[[1.0, 1.0]]]


def dqn(envs: EnvBatch, **hyper: Any) -> DQN:
    small = {"hidden": (8,), "batch_size": 8, "learning_starts": 20, "capacity": 400, "epsilon_steps": 200}
    return DQN(envs.spec, DQNConfig(**{**small, **hyper}), Streams(envs.seeds))


@pytest.mark.parametrize("says", SAYS)
@pytest.mark.parametrize("hyper", [{}, {"double": True, "n_step": 3}, {"epsilon_decay": 0.9}])
def test_dqn_goes_through_open_doors_alone(says: str, hyper: Any) -> None:
    """Exploring and greedy: the environment raises at any other."""
    envs = EnvBatch(gates(says), [3, 4], 2)
    agent, seen = dqn(envs, **hyper), set[int]()
    for step, done in zip(run(agent, envs), range(300), strict=False):
        seen |= set(step.transition.action.flatten().tolist())
        assert done < 300
    assert seen == {0, 1, 2, 3}
    assert agent.updates > 200
    other = EnvBatch(gates(says), [5, 6], 3)
    for _, done in zip(run(agent, other, explore=False, learn=False), range(100), strict=False):
        assert done < 100


def test_random_choices_among_the_open_are_even() -> None:
    share, legal = np.linspace(0, 1, 3000, endpoint=False), np.array([True, False, True, True])
    chosen = nth_legal(share, np.broadcast_to(legal, (3000, 4)))
    assert np.bincount(chosen, minlength=4).tolist() == [1000, 0, 1000, 1000]
    assert nth_legal(np.array([0.3, 2.0]), np.zeros((2, 4), bool)).tolist() == [0, 0]
    assert nth_legal(np.array(1.0), legal).tolist() == 3
    q = torch.tensor([[1.0, 9.0, 2.0], [1.0, 9.0, 2.0]])
    masked = legal_q(q, torch.tensor([[True, False, True], [False, False, False]]))
    assert masked.argmax(-1).tolist() == [2, 0]
    assert masked.amax(-1).tolist() == [2.0, 0.0]


@pytest.mark.parametrize(("double", "value"), [(False, 5.0), (True, 4.0)])
def test_nothing_is_bootstrapped_from_closed_doors(double: bool, value: float) -> None:
    """Values are [4, 5, 99, 99] by the target network and [9, 1, 99, 99] online; the last two doors are closed."""
    spec = make_spec((1,), num_actions=4, extras={"action_mask": Extra((4,), torch.bool)})
    agent: Any = DQN(
        spec, DQNConfig(hidden=(), batch_size=4, capacity=8, double=double, gamma=0.5, loss="squared"), Streams([0])
    )
    for net, values in ((agent.q_net, [9.0, 1.0, 99.0, 99.0]), (agent.target_net, [4.0, 5.0, 99.0, 99.0])):
        weight, bias = net.parameters()
        weight.data.zero_()
        bias.data.copy_(torch.tensor(values))
    one, no = torch.ones(1, 1), torch.zeros(1, 1, dtype=torch.bool)
    mask = {"action_mask": torch.tensor([[[True, True, False, False]]])}
    agent.observe(
        Transition(
            one[..., None],
            torch.zeros(1, 1, dtype=torch.int64),
            one,
            one[..., None],
            no,
            no,
            extras=mask,
            next_extras=mask,
        )
    )
    batch = agent.replay.sample(4)
    assert batch.next_extras["action_mask"].tolist() == [[[True, True, False, False]] * 4]
    with torch.inference_mode():
        metrics = agent.learn_from(batch)
    assert metrics["loss"].item() == pytest.approx((9 - (1 + 0.5 * value)) ** 2)


@pytest.mark.parametrize("n_step", [1, 3])
def test_a_buffer_gives_back_what_was_said(n_step: int) -> None:
    """Every entry has a number of its own, in its observation, in its mask, and in a number that was said."""
    forms = {"action_mask": Extra((8,), torch.bool), "id": Extra((), torch.int64)}
    spec = make_spec((1,), num_seeds=2, num_envs=2, extras=forms)
    replay = Replay(spec, 20, Streams([5, 6])["replay"], n_step=n_step)
    no = torch.zeros(2, 2, dtype=torch.bool)

    def said(ids: Tensor) -> dict[str, Tensor]:
        return {"id": ids, "action_mask": (ids[..., None] >> torch.arange(8)) % 2 == 1}

    for t in range(17):
        ids = torch.tensor([[4 * t, 4 * t + 1], [4 * t + 2, 4 * t + 3]])
        obs = ids[..., None].float()
        ends = torch.full((2, 2), t % 5 == 4)
        replay.add(
            Transition(
                obs, torch.zeros_like(ids), obs[..., 0], obs + 4, ends, no, extras=said(ids), next_extras=said(ids + 4)
            )
        )
    for buffer in (replay, loaded(replay, spec, n_step)):
        batch = buffer.sample(200)
        first, last = batch.obs[..., 0].long(), batch.next_obs[..., 0].long()
        assert torch.equal(batch.extras["id"], first)
        assert torch.equal(batch.next_extras["id"], last)
        assert torch.equal(batch.next_extras["action_mask"], said(last)["action_mask"])
        assert len(first.unique()) == 20 * 2


def loaded(replay: Replay, spec: Any, n_step: int) -> Replay:
    other = Replay(spec, 20, Streams([5, 6])["replay"], n_step=n_step)
    other.load_state_dict(replay.state_dict())
    return other


def test_of_a_buffer_from_before_it_was_told_all_was_legal() -> None:
    spec = make_spec((1,), num_actions=2, extras={"action_mask": Extra((2,), torch.bool)})
    before, now = (Replay(each, 4, Streams([0])["replay"]) for each in (spec._replace(extras={}), spec))
    one, no = torch.ones(1, 1), torch.zeros(1, 1, dtype=torch.bool)
    before.add(Transition(one[..., None], no.long(), one, one[..., None], no, no))
    now.load_state_dict(before.state_dict())
    batch = now.sample(3)
    assert batch.extras["action_mask"].all()
    assert batch.next_extras["action_mask"].all()


class Looks:
    """Goes through an open door; of copies that are there to fill up only, everything is legal."""

    def begin(self, started: Tensor, *, explore: bool) -> None: ...

    def act(self, obs: Tensor, *, explore: bool, extras: Any) -> Tensor:
        assert obs.shape[1] == EVAL_COPIES
        assert extras["action_mask"][:, 3:].all()
        return through(extras["action_mask"])


def test_where_copies_are_filled_up_everything_is_legal() -> None:
    returns, _ = Evaluator(gates(), [0, 1])(cast("Any", Looks()), 3)
    assert np.isfinite(returns).all()


def test_a_buffer_of_another_kind_is_refused() -> None:
    forms = {"action_mask": Extra((2,), torch.bool)}
    plain, masked = (Replay(make_spec(extras=e), 8, Streams([0])["replay"]) for e in ({}, forms))
    with pytest.raises(ValueError, match="saved replay with action_mask besides observations, where nothing is told"):
        plain.load_state_dict(masked.state_dict())
    masked.load_state_dict(plain.state_dict())  # of an earlier version
    assert masked._said


class Subclass(DQN):
    def act(self, obs: Tensor, *, explore: bool) -> Tensor:  # type: ignore[override]
        return super().act(obs, explore=explore)  # type: ignore[return-value]


class Deaf(Learner):
    wants = ("action_mask",)

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        return obs


class Text(Deaf):
    wants: Any = "action_mask"


def test_wishes_are_looked_at() -> None:
    assert wanted(DQN) == ("action_mask",)
    assert wanted(Subclass) == ()  # wrote its act before there were any
    with pytest.raises(UsageError, match="Deaf wants action_mask, and its act takes none"):
        lift(Deaf)
    with pytest.raises(UsageError, match=r"Text\.wants is 'action_mask'; it is a tuple of names"):
        wanted(Text)


class Doorman(Learner):
    """Takes the last open door, and says which."""

    wants = ("action_mask",)

    def __init__(self, spec: Any, config: Any, rng: Any) -> None:
        assert spec.extras["action_mask"].shape == (4,)

    def act(self, obs: Tensor, *, explore: bool, extras: Any) -> Any:
        action = 3 - through(extras["action_mask"].flip(-1))
        return action, {"door": action.float()}

    def observe(self, transition: Transition) -> None:
        self.seen = transition

    def update(self) -> dict[str, float]:
        assert torch.equal(self.seen.extras["door"], self.seen.action.float())
        assert self.seen.extras["action_mask"].shape == self.seen.next_extras["action_mask"].shape == (2, 4)
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def test_a_learner_is_told_without_the_seed_axis() -> None:
    envs = EnvBatch(gates(), [3, 4], 2)
    agent = lift(Doorman)(envs.spec, AgentConfig(), Streams([3, 4]))
    for step, _ in zip(run(agent, envs), range(20), strict=False):
        assert step.transition.extras.keys() == {"action_mask", "door"}


def test_who_overrides_act_in_the_old_way_hears_that_it_is_not_told(tmp_path: Path) -> None:
    keys: Any = {"total_steps": 30, "final_eval_episodes": 0, "eval_every": 0, "device": "cpu"}
    hyper = {"hidden": (8,), "learning_starts": 100}
    for agent, notes in ((given_class(Subclass), 1), ("dqn", 0)):
        recipe = Recipe(env="extras/Safe-v0", agent=agent, hyper=hyper, **keys)
        found = [note for note in build(recipe, [0], "cpu").notes if "is not told" in note]
        assert len(found) == notes
        assert all("info['action_mask'], which Subclass, whose act has no `extras`" in note for note in found)


class Odd:
    def __init__(self, gives: Any) -> None:
        self.gives = gives

    def act(self, obs: Tensor, *, explore: bool) -> Any:
        return torch.zeros(2, 3), self.gives


@pytest.mark.parametrize(
    ("gives", "what"),
    [
        (5, "act gave a tuple of Tensor, int; it is an action, or a pair of it and a dict of tensors"),
        ({"a": 1.0}, r"act said 'a' of type float, expected a Tensor whose shape begins with \(2, 3\)"),
        ({"a": torch.zeros(3, 2)}, r"act said 'a' of shape \(3, 2\), expected a Tensor whose shape begins with"),
    ],
)
def test_what_an_agent_says_is_looked_at(gives: Any, what: str) -> None:
    with pytest.raises(AgentError, match=what):
        choose(Odd(gives), torch.zeros(2, 3, 1), explore=True)


class Chatty(Doorman):
    """Says something else with every call: seeds are asked one after the other."""

    calls = 0

    def act(self, obs: Tensor, *, explore: bool, extras: Any) -> Any:
        action, _ = super().act(obs, explore=explore, extras=extras)
        Chatty.calls += 1
        return action, {f"word {Chatty.calls}": torch.zeros(len(obs))}


def test_what_learners_say_has_the_same_form() -> None:
    envs = EnvBatch(gates(), [3, 4], 2)
    agent = lift(Chatty)(envs.spec, AgentConfig(), Streams([3, 4]))
    what = r"Chatty.act said different things besides its actions: word \d \(2,\) torch.float32 and word \d "
    with pytest.raises(AgentError, match=what):
        next(run(agent, envs))


def test_what_an_agent_says_has_a_name_of_its_own() -> None:
    class Echo:
        def act(self, obs: Tensor, *, explore: bool, extras: Any) -> Any:
            return torch.zeros(2, 3), {"goal": torch.zeros(2, 3)}

    with pytest.raises(AgentError, match="act said 'goal', which is what the environment says"):
        choose(Echo(), torch.zeros(2, 3, 1), {"goal": torch.zeros(2, 3)}, explore=True)


def test_acting_by_hand_takes_what_came_with_the_observation(tmp_path: Path) -> None:
    small = {"hidden": (8,), "batch_size": 8, "learning_starts": 20, "capacity": 100}
    keys: Any = {"total_steps": 80, "seeds": 2, "final_eval_episodes": 4, "eval_every": 0, "device": "cpu"}
    done = rlbench.train(recipe=Recipe(env="extras/Gates-v0", hyper=small, **keys), out=tmp_path / "run")
    trained = rlbench.load(done.folder)
    env = trained.maker()
    obs, info = env.reset(seed=1)
    trained.reset()
    for _ in range(6):
        action = trained.act(obs, info)
        assert info["action_mask"][action]
        obs, _, _, _, info = env.step(action)
    with pytest.raises(UsageError, match=r"info\['action_mask'\] is missing. Hand over the info .* act\(obs, info\)"):
        trained.act(obs)
    assert (rlbench.evaluate(trained, 5) >= 0).all()

    asked = trained._replace(maker=gates(says="method"))
    with pytest.raises(UsageError, match=r"Hand over what a method says: act\(obs, {\"action_mask\": env.get_wrapper"):
        asked.act(obs, {})
    assert asked.act(obs, {"action_mask": np.array([False, False, True, False])}) == 2
    with pytest.raises(UsageError, match=r"the action_mask of .*Gates-v0 allows no action: .*env\.reset\(\)"):
        asked.act(obs, {"action_mask": np.zeros(4, np.int8)})


@pytest.mark.parametrize("says", ["info", "key"])
def test_without_masks_nothing_is_wanted_and_a_dict_is_observed_whole(says: str) -> None:
    made = Recipe(env="extras/Gates-v0", env_kwargs={"says": says}, seeds=1, hyper={"mask_actions": False})
    parts = build(made, [0], "cpu")
    assert not parts.maker.extras
    assert not parts.spec.extras
    assert parts.spec.obs_shape == ((6,) if says == "key" else (2,))


def test_a_run_of_a_version_that_knew_no_masks_goes_on_without_them() -> None:
    now = Recipe.load(env="extras/Gates-v0").content()
    assert now["hyper"]["mask_actions"]
    assert Recipe.from_content(now, "a checkpoint").content() == now
    hyper = {key: value for key, value in now["hyper"].items() if key != "mask_actions"}
    then = {key: value for key, value in now.items() if key != "wrappers"} | {"hyper": hyper}
    assert Recipe.from_content(then, "a checkpoint").content() == {**now, "hyper": {**hyper, "mask_actions": False}}
    other = {**then, "agent": "mine.py:Mine", "hyper": {}}
    assert not Recipe.from_content(other, "a checkpoint").hyper


def test_an_exchanged_field_leaves_the_extras_where_they_are() -> None:
    spec = make_spec(num_actions=2, num_seeds=1)._replace(extras={"action_mask": Extra((2,), torch.bool)})
    ones, mask = torch.ones(1, 1), torch.tensor([[[True, False]]])
    obs, never = torch.zeros(1, 1, *spec.obs_shape), torch.zeros(1, 1, dtype=torch.bool)
    whole = Transition(obs, ones.long(), ones, obs, never, never, extras={"action_mask": mask}, next_extras={"n": mask})
    other = whole._replace(reward=ones / 2, next_extras={"action_mask": ~mask})
    assert other.reward.item() == 0.5
    assert torch.equal(other.extras["action_mask"], mask)
    assert torch.equal(other.next_extras["action_mask"], ~mask)
    batch = rlbench.Batch(obs, ones.long(), ones, ones, obs, extras=whole.extras)._replace(discount=ones / 4)
    assert batch.discount.item() == 0.25
    assert batch.extras is whole.extras
    with pytest.raises(ValueError, match="rewards"):
        whole._replace(rewards=ones)
    replay = Replay(spec, 4, Streams([0])["replay"])
    with pytest.raises(ValueError, match="has no 'action_mask' in its extras and next_extras"):
        replay.add(Transition(*other))
    replay.add(other)
    assert len(replay) == 1


def test_an_act_that_needs_extras_is_given_none_where_nothing_is_said() -> None:
    class Asks(Learner):
        wants = ("action_mask",)
        __init__ = observe = update = state_dict = load_state_dict = None  # type: ignore[assignment]
        given: Any = None

        def act(self, obs: Tensor, *, explore: bool, extras: Any) -> Tensor:  # type: ignore[override]
            type(self).given = extras
            return obs.argmax(-1)

    asks: Any = object.__new__(type("Asked", (Asks,), {"__abstractmethods__": frozenset()}))
    choose(asks, torch.zeros(2, 3), explore=True, axes=1)
    assert asks.given == {}
