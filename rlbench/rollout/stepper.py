"""n copies of one environment: stepped one by one, or all at once where NumPy does the same to the last bit."""

import math
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import OrderEnforcing, TimeLimit

from ..border.calls import Border, flag, number, stepped
from ..border.extras import Told, taken
from ..border.make import EnvMaker
from ..border.spaces import action_codec, declared, obs_codec, space_text
from ..classic.alone import native_one
from ..classic.control import known, native
from ..errors import UsageError
from ..process.settings import quick, restore

Ended = dict[int, tuple[bool, bool]]  # copy -> (terminated, truncated)


class CopyError(Exception):
    """Copy ``i`` raised, or returned what does not fit; the cause says what, and ``done`` how many steps went well
    before, where several were asked for."""

    def __init__(self, i: int, done: int = 0) -> None:
        super().__init__(i, done)
        self.i, self.done = i, done


class Again(NamedTuple):
    """What came of stepping a copy through actions once more: checksums as `Digests` has them, and whether it ended."""

    episode_return: float
    sums: tuple[int, int]
    ended: bool


class Copies:
    """n copies of an environment. It knows nothing of seeds and episodes; observations are encoded (`spaces`).

    Whatever passes between it and the environments is checked and copied, as at every `Border`; here without its cost.

    Args:
        maker: makes one copy.
        n: how many.

    Attributes:
        limit: steps after which an episode is to be cut; 0: the copies do so themselves, or never.
        known: whether their class is one whose episodes surely follow from seed and actions alone.

    Raises:
        UsageError: one cannot be made, has no spaces that rlbench knows, or others than the first.
    """

    def __init__(self, maker: EnvMaker, n: int) -> None:
        self.envs: list[gym.Env[Any, Any]] = []
        try:
            self.envs += (maker() for _ in range(n))
            first = [declared(self.envs[0], name, maker.env_id) for name in _SPACES]
            self.obs_codec = obs_codec(first[0], maker.env_id, taken(maker.extras))
            self.action_codec = action_codec(first[1], maker.env_id)
            for env in self.envs[1:]:
                _check_alike(env, first, maker.env_id)
        except BaseException:
            self.close()
            raise
        bare = [_bare(env) for env in self.envs]
        self.limit = min((limit for limit in (maker.limit, bare[0][1]) if limit), default=0)
        self._steps: list[Callable[[Any], Any]] = [step for step, _ in bare]
        inner = [env.env if type(env) is Border else env for env in self.envs]
        self.known, self._native, self._one = known(inner), native(inner), native_one(inner)
        self._told = Told(maker.extras, self.envs) if maker.extras else None
        self._lend = None if self.known else self.action_codec.lend  # an int is as good to those that are known
        self._quick: Any = None  # settings of the process that their code may change at any step
        for i, env in enumerate(self.envs):
            if type(env) is Border and not env.trusted:
                self._steps[i], self._quick = self._first_step(i, env, self._steps[i]), quick()

    def reset(self, i: int, seed: int) -> Any:
        """Reset copy ``i``; its first observation, to be copied at once.

        Raises:
            CopyError: it raised, or returned what does not fit.
        """
        env = self.envs[i]
        try:
            obs, info = env.begin(seed) if type(env) is Border else env.reset(seed=seed)
            encoded = self.obs_codec.encode(obs)
            if self._told is not None:
                self._told.read(i, obs, info)
        except KeyboardInterrupt:
            raise
        except BaseException as e:
            raise CopyError(i) from e
        self._adopt(i)
        return encoded

    def _first_step(self, i: int, env: Border, step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """A step function for copy ``i`` that makes way for ``step`` when it has been called."""

        def first(action: Any) -> Any:
            result = env.first_step(step, action)
            self._steps[i] = step if env.folder is None else env.bare_step
            return result

        return first

    @property
    def said(self) -> Mapping[str, np.ndarray]:
        """What all n said last besides their observations, name -> (n, ...); steps and resets change it."""
        return {} if self._told is None else self._told.arrays

    @property
    def at_once(self) -> bool:
        """Whether all copies are stepped by one call; their episodes follow from seed and actions alone."""
        return self._native is not None or self._one is not None

    def _adopt(self, i: int) -> None:
        if self._native is not None:
            self._native.adopt(i, self.envs[i])
        if self._one is not None:
            self._one.adopt(self.envs[i])

    def replay(self, i: int, actions: Sequence[Any], row: np.ndarray) -> Again:
        """Step copy ``i``, which was reset, through ``actions`` or to its end.

        Args:
            i: which.
            actions: as they were kept.
            row: (1, *O), its first observation; takes the later ones.

        Raises:
            CopyError: it raised, or returned what does not fit.
        """
        total, seen, paid, over, done = 0.0, zlib.crc32(row.data), 0, False, 0
        try:
            for action in actions if self._lend is None else map(self._lend, actions):
                obs, reward, terminated, truncated, info = stepped(self._steps[i](action))
                row[0] = self.obs_codec.encode(obs)
                amount = number(reward)
                total += amount
                seen, paid = zlib.crc32(row.data, seen), zlib.crc32(_FLOAT.pack(amount), paid)
                over = flag(terminated, "terminated") or flag(truncated, "truncated")
                if over:
                    break
                if self._told is not None:
                    self._told.read(i, obs, info)
                done += 1
        except KeyboardInterrupt:
            raise
        except BaseException as e:
            raise CopyError(i, done) from e
        self._adopt(i)
        return Again(total, (seen, paid), over)

    def step(self, actions: Sequence[Any], running: Sequence[int], after: np.ndarray) -> tuple[list[float], Ended]:
        """Step the ``running`` copies.

        Args:
            actions: of all n, as they are kept; the environments get copies.
            running: which to step, in increasing order.
            after: (n, *O); their observations are written into it.

        Returns:
            The rewards of all n, 0 for those that stand still, and which ended.

        Raises:
            CopyError: one raised, or returned what does not fit.
        """
        if self._one is not None:
            if not running:
                return [0.0], {}
            after[0], reward, terminated = self._one.step(actions[0])
            return [reward], {0: (True, False)} if terminated else {}
        if self._native is not None:
            return self._step_at_once(actions, running, after)
        rewards = [0.0] * len(self.envs)
        ended: Ended = {}
        encode, steps = self.obs_codec.encode, self._steps
        if self._lend is not None:
            actions = list(map(self._lend, actions))
        i = -1
        try:
            for i in running:
                result = steps[i](actions[i])
                if type(result) is not tuple or len(result) != 5:
                    result = stepped(result)
                obs, reward, terminated, truncated, info = result
                after[i] = encode(obs)
                rewards[i] = reward if type(reward) is float else number(reward)
                if terminated is not False or truncated is not False:
                    how = flag(terminated, "terminated"), flag(truncated, "truncated")
                    if how != _NEITHER:
                        ended[i] = how
                if self._told is not None:
                    self._told.read(i, obs, info, over=i in ended and ended[i][0])
        except KeyboardInterrupt:
            raise
        except BaseException as e:
            raise CopyError(i) from e
        finally:
            if self._quick is not None:
                restore(self._quick)
        return rewards, ended

    def _step_at_once(
        self, actions: Sequence[Any], running: Sequence[int], after: np.ndarray
    ) -> tuple[list[float], Ended]:
        assert self._native is not None
        chosen = np.array(actions)
        if len(running) == len(self.envs):
            obs, reward, terminated = self._native.step(chosen, None)
            after[:] = obs
            return reward.tolist(), dict.fromkeys(np.flatnonzero(terminated).tolist(), (True, False))
        which = np.array(running, dtype=np.int64)
        after[which], some, terminated = self._native.step(chosen[which], which)
        rewards = np.zeros(len(self.envs))
        rewards[which] = some
        return rewards.tolist(), dict.fromkeys(which[terminated].tolist(), (True, False))

    def close(self) -> None:
        for env in self.envs:
            env.close()


_SPACES = ("observation_space", "action_space")
_NEITHER = (False, False)
_FLOAT = struct.Struct("d")


def _check_alike(env: gym.Env[Any, Any], first: Sequence[Any], env_id: str) -> None:
    """Raises UsageError where a copy has other spaces than the first one: seeds learn side by side."""
    for name, one in zip(_SPACES, first, strict=True):
        other = declared(env, name, env_id)
        if type(other) is not type(one) or (other != one and type(one).__module__.startswith("gymnasium.")):
            raise UsageError(
                f"{env_id!r} has another {name} each time it is made: {space_text(one)}, then {space_text(other)}. "
                "All copies of a run need the same."
            )


def finite(obs: np.ndarray) -> bool:
    """Whether all numbers are finite. Of a few, the sum as Python has it tells, and at a third of the cost."""
    if obs.dtype.kind != "f":
        return True
    if obs.size <= 64:
        return math.isfinite(sum(obs.reshape(-1).tolist()))
    return bool(np.isfinite(obs).all())


def _bare(env: gym.Env[Any, Any]) -> tuple[Callable[[Any], Any], int]:
    """The step function below the border and Gymnasium's own two wrappers, and the time limit that one of them held.

    They cost a tenth of a cheap environment's step, and `Copies` and `EnvBatch` do their work. Any other wrapper stays.
    """
    if type(env) is not Border:
        return env.step, 0
    inner = env.env
    if env.folder is not None:
        return env.bare_step, 0
    if type(inner) is TimeLimit and type(inner.env) is OrderEnforcing and inner.spec and inner.spec.max_episode_steps:
        return inner.env.env.step, inner.spec.max_episode_steps
    return inner.step, 0
