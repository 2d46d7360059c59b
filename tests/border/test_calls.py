"""Calls of an environment: rewards and flags are checked, what is raised is told in one line that names the culprit."""

import decimal
import fractions
import functools
import operator
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from foreign import Foreign, batch, box, fails, five, raises, run, still
from gymnasium import spaces

from rlbench.border.blame import ForeignError
from rlbench.border.calls import Border
from rlbench.border.make import env_maker
from rlbench.errors import EnvError, UsageError, first_line
from rlbench.rollout.env_batch import EnvBatch


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"reward": None}, "the reward is None"),
        ({"reward": np.array([1.0])}, r"reward is an array of shape \(1,\).*return reward.item\(\)"),
        ({"reward": torch.ones(1, 1)}, r"reward is an array of shape \(1, 1\)"),
        ({"reward": np.zeros(3)}, r"reward is an array of shape \(3,\)"),
        ({"reward": [1.0]}, "reward is a list of 1"),
        ({"reward": "1.0"}, "reward is '1.0'"),
        ({"reward": 1j}, "reward is 1j"),
        ({"reward": np.complex64(1)}, "reward is .*complex64"),
        ({"reward": {}}, "reward is a dict of 0"),
        ({"reward": 1e40}, r"a reward that is too large for float32 at .*: 1e\+40"),
        ({"reward": -1e40}, r"too large for float32 at .*: -1e\+40"),
        ({"reward": 10**400}, "too large for float32"),
        ({"reward": float("nan")}, "not finite at .*: nan"),
        ({"reward": -np.inf}, "not finite at .*: -inf"),
        ({"reward": decimal.Decimal("NaN")}, "not finite"),
        ({"terminated": None}, "terminated is None where True or False is due"),
        ({"truncated": None}, "truncated is None"),
        ({"terminated": np.array([True])}, r"terminated is an array of shape \(1,\).*return bool\(terminated\[0\]\)"),
        ({"terminated": np.array([True, False])}, "terminated is an array"),
        ({"truncated": "False"}, "truncated is 'False'"),
        ({"terminated": 0.3}, "terminated is 0.3"),
        ({"terminated": 2}, "terminated is 2"),
        ({"truncated": {}}, "truncated is a dict"),
    ],
)
def test_a_wrong_reward_or_flag_is_named(changed: Any, words: str) -> None:
    envs = batch(step=five(**changed))
    with pytest.raises(EnvError, match=words) as e:
        envs.step(still(envs))
    assert "step 1 of episode 0 (seed 7, env 0)" in str(e.value)


@pytest.mark.parametrize(
    ("reward", "stored"),
    [
        (True, 1.0), (3, 3.0), (np.float64(0.1), 0.1), (np.float32(0.1), float(np.float32(0.1))), (np.int8(-4), -4.0),
        (np.True_, 1.0), (np.array(2.5), 2.5), (torch.tensor(2.5, requires_grad=True), 2.5),
        (fractions.Fraction(1, 4), 0.25), (decimal.Decimal("0.5"), 0.5), (3e38, 3e38), (np.float16(0.5), 0.5),
    ],
)  # fmt: skip
def test_every_kind_of_number_is_a_reward(reward: Any, stored: float) -> None:
    envs = run(10, step=lambda env, action: (0.0, reward, env.t >= 10, False, {}))
    assert [e.episode_return for e in envs.finished] == [
        functools.reduce(operator.add, [stored] * 10)
    ] * 2  # one by one: `sum` is exacter in Python 3.12


@pytest.mark.parametrize(("true", "false"), [(True, False), (1, 0), (np.True_, np.False_), (np.array(1), np.array(0))])
def test_every_kind_of_truth_is_a_flag(true: Any, false: Any) -> None:
    envs = run(3, step=lambda env, action: (0.0, 1.0, false, true if env.t == 3 else false, {}))
    assert [(e.episode_length, e.terminated) for e in envs.finished] == [(3, False)] * 2
    envs = run(3, step=lambda env, action: (0.0, 1.0, true if env.t == 3 else false, false, {}))
    assert [(e.episode_length, e.terminated) for e in envs.finished] == [(3, True)] * 2


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        ({"step": lambda env, a: (0.0, 1.0, False, {})}, "returned 4 values.*old Gym API: return obs, reward, term"),
        ({"step": lambda env, a: (0.0, 1.0, False)}, "five values.*returned a tuple of 3"),
        ({"step": lambda env, a: None}, "five values.*returned None"),
        ({"step": lambda env, a: 0.0}, r"five values.*returned 0.0 \(float\)"),
        ({"reset": lambda env: 0.0}, r"reset\(\) returned 0.0.*\(obs, info\).*old Gym API"),
        ({"reset": lambda env: None}, r"reset\(\) returned None"),
        ({"reset": lambda env: np.zeros(2, np.float32), "space": box(np.float32)}, "old Gym API"),
        ({"reset": lambda env: (1, 1), "space": spaces.Tuple([spaces.Discrete(2)] * 2)}, r"second part is 1 \(int\)"),
        ({"reset": lambda env: {}}, "old Gym API"),
    ],
)
def test_the_old_gym_api_is_recognised(calls: Any, words: str) -> None:
    with pytest.raises(EnvError, match=words):
        run(**calls)


class OldSignature(Foreign):
    def reset(self) -> Any:  # type: ignore[override]
        return self.look()


def test_a_reset_that_takes_no_seed_is_the_old_api_too() -> None:
    gymnasium.registry.pop("border/OldSignature-v0", None)
    gymnasium.register("border/OldSignature-v0", entry_point=OldSignature)
    with pytest.raises(EnvError, match=r"reset\(\) takes no 'seed'.*old Gym API.*seed=None, options=None"):
        EnvBatch(env_maker("border/OldSignature-v0"), [0]).reset()


def test_the_old_api_below_a_wrapper_of_gymnasium() -> None:
    def make() -> Any:
        inner = Foreign(step=lambda env, action: (0.0, 1.0, False, {}))
        return gymnasium.wrappers.TransformReward(gymnasium.wrappers.TimeLimit(inner, 5), lambda r: r)

    gymnasium.registry.pop("border/Below-v0", None)
    gymnasium.register("border/Below-v0", entry_point=make)
    envs = EnvBatch(env_maker("border/Below-v0"), [0])
    envs.reset()
    with pytest.raises(EnvError, match=r"step\(\) returned 4 values.*old Gym API"):
        envs.step(torch.zeros(1, 1, dtype=torch.int64))


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("call", ["step", "reset"])
@pytest.mark.parametrize(
    ("act", "words"),
    [
        (fails, r"foreign.py:\d+, in fails: AssertionError: assert env.t > 10\*\*6"),
        (raises(RuntimeError("lost")), r"foreign.py:\d+, in act: RuntimeError: lost"),
        (raises(KeyError("wheel")), "KeyError: 'wheel'"),
        (raises(SystemExit()), r"it called sys.exit\(\)"),
        (raises(SystemExit(3)), r"it called sys.exit\(3\)"),
        (raises(SystemExit("bye")), r"it called sys.exit\('bye'\)"),
        (raises(Silent()), "in act: Silent"),
        (raises(GeneratorExit()), "in act: GeneratorExit"),
        (
            raises(RuntimeError("\n\nSimulator error:\n  port 5000 is taken\nmore")),
            "Simulator error: port 5000 is taken",
        ),
        (
            lambda env, *a: np.linalg.inv(np.zeros((2, 2))),
            r"test_calls.py:\d+, in <lambda>: LinAlgError: Singular",
        ),
        (lambda env, *a: int("x"), r"test_calls.py:\d+, in <lambda>: ValueError: invalid literal"),
    ],
)
def test_whatever_is_raised_is_one_line_that_names_the_culprit(call: str, act: Any, words: str) -> None:
    with pytest.raises(EnvError, match=words) as e:
        run(**{call: act})
    assert "\n" not in str(e.value)
    assert f"step {int(call == 'step')} of episode 0 (seed 7, env 0)" in str(e.value)


def test_ctrl_c_passes() -> None:
    for call in ("step", "reset", "close"):
        with pytest.raises(KeyboardInterrupt):
            run(**{call: raises(KeyboardInterrupt())}).close()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plain and clear words", "plain and clear words"),
        ("Error:\n  the port is taken", "Error: the port is taken"),
        ("Failed\n=======\nno such map: x", "Failed no such map: x"),
        ("size mismatch for layer 3:\n\tgot 4", "size mismatch for layer 3: got 4"),
        ("a line that says enough\nand another", "a line that says enough"),
        (
            '\n"""\nTraceback (most recent call last):\n  File "x", line 1\nValueError: far away\n"""',
            "ValueError: far away",
        ),
        ("\n \n", "RuntimeError"),
        ("===\n", "RuntimeError"),
        ("x" * 900 + " y z", "x" * 497 + "..."),
    ],
)
def test_first_line_is_the_first_that_means_something(text: str, said: str) -> None:
    assert first_line(RuntimeError(text)) == said


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (fails, "its constructor failed: .*in fails: AssertionError: assert env.t"),
        (raises(SystemExit(1)), r"its constructor failed: .*it called sys.exit\(1\)"),
        (raises(TypeError("odd")), "its constructor failed: .*TypeError: odd"),
        (raises(RuntimeError("Error:\n no licence")), "RuntimeError: Error: no licence$"),
    ],
)
def test_a_constructor_that_fails(act: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        env_maker("border/Foreign-v0", {"init": act})


def test_arguments_that_a_constructor_does_not_take() -> None:
    with pytest.raises(UsageError, match=r"cannot make 'CartPole-v1' with env_kwargs \{'wheels': 4\}"):
        env_maker("CartPole-v1", {"wheels": 4})


def test_what_a_constructor_is_given_is_its_own() -> None:
    given = {"obs": 0.0, "extra": {"list": [1]}, "init": lambda env: env.calls["extra"]["list"].append(2)}
    maker = env_maker("border/Foreign-v0", given)
    assert [maker().unwrapped.calls["extra"] for _ in range(2)] == [{"list": [1, 2]}] * 2  # type: ignore[attr-defined]
    assert given["extra"] == maker.kwargs["extra"] == {"list": [1]}


@pytest.mark.parametrize("e", [RuntimeError("server is gone"), SystemExit(2), AttributeError("no server")])
def test_a_close_that_fails_harms_nothing(e: BaseException) -> None:
    closed = []

    def close(env: Any) -> None:
        closed.append(1)
        raise e

    envs = run(close=close)
    envs.close()
    assert len(closed) == 3  # one was made to try
    border = envs.envs[0]
    assert isinstance(border, Border)
    assert "its close() failed" in border.problem
    assert (str(e) if not isinstance(e, SystemExit) else "sys.exit(2)") in border.problem


def test_a_single_environment_has_the_same_border() -> None:
    kept = np.zeros(2, np.float32)

    def step(env: Any, action: Any) -> Any:
        assert type(action) is np.int64
        kept[:] += 1
        return kept, np.float32(0.5), np.True_, 0, {}

    env = env_maker("border/Foreign-v0", {"space": box(np.float32), "step": step, "obs": np.zeros(2)})()
    env.reset(seed=5)
    first = env.step(1)[0]
    obs, reward, terminated, truncated, _ = env.step(1)
    assert (first.tolist(), obs.tolist()) == ([1, 1], [2, 2])
    assert (reward, terminated, truncated) == (0.5, True, False)
    assert type(reward) is float
    assert type(terminated) is type(truncated) is bool


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        ({"step": five(reward=None)}, r"border/Foreign-v0 failed at step 1 after reset\(seed=5\): the reward is None"),
        ({"step": five(obs=[1, 2])}, r"the observation has shape \(2,\)"),
        ({"step": raises(SystemExit())}, r"foreign.py:\d+, in act: it called sys.exit\(\)"),
        ({"step": lambda env, a: (0.0, 1.0, True, {})}, "old Gym API"),
        ({"reset": fails}, "step 0 after reset.*AssertionError: assert env.t"),
        ({"reset": lambda env: 0.0}, "old Gym API"),
    ],
)
def test_a_single_environment_tells_what_is_wrong(calls: Any, words: str) -> None:
    env = env_maker("border/Foreign-v0", calls)()
    with pytest.raises(ForeignError, match=words):  # noqa: PT012  (either)
        env.reset(seed=5)
        env.step(0)
