"""When an episode begins, ends and is cut: copies of an environment, in NumPy. The only file that knows when to reset.

Every episode starts with ``env.reset(seed=...)`` where the seed is a hash of (seed, env, episode). The actions of the
episode under way are kept, so that an environment which is deterministic given its seed can be brought back to where it
stood by resetting it and replaying them: `restore_envs`.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import rng
from ..border import observations
from ..border.blame import ForeignError, in_one_line
from ..border.make import EnvMaker
from ..border.observations import Unfit
from ..errors import AgentError, EnvError, NotFiniteError
from .digests import Digests
from .stepper import Copies, CopyError, Ended, finite

_LARGEST = float(np.finfo(np.float32).max)
_LARGE = 1e30  # a sum of rewards beyond this, or one that is not finite, is looked into


class Episode(NamedTuple):
    """A finished episode: ``seed`` and ``env`` are positions on the S and E axes."""

    seed: int
    env: int
    episode: int
    episode_return: float
    episode_length: int
    terminated: bool
    reset_seed: int
    actions: Sequence[Any] | np.ndarray  # as the environment took them
    late: int = 0  # vector steps that have been taken since it ended


class Episodes:
    """n = S * E copies, seed by seed, and the episodes that they are in the midst of.

    Args:
        maker: makes one copy.
        seeds: the S seed numbers.
        num_envs: E.
        stream: names what the episodes are for; another name gives other episodes.
        keep_going: stop a seed whose environment returns NaN or infinity, and go on with the others.

    Attributes:
        copies: what steps and resets them.
        obs: (n, *O), what each copy showed last. Whoever owns these episodes says in which memory.
        running: the copies that are stepped, in increasing order.
        numbers: (n,), of each copy's episode under way; -1 before the first.
        returns: (n,), of that episode so far.
        clock: vector steps since all began.
        began: (n,), by that clock, when the episode under way did.
        log: what all copies did in the newest vector steps, as many as still matter.
        broken: positions of the seeds that were stopped because of such numbers, and what came.
        fresh: the copies whose episodes have begun since the last step.
        digests: checksums of what the episodes under way gave; None where they surely follow from seed and actions, or
            nobody comes back to them.
    """

    obs: np.ndarray

    def __init__(self, maker: EnvMaker, seeds: Sequence[int], num_envs: int, stream: str, keep_going: bool) -> None:
        self.env_id, self.seeds, self.num_envs = maker.env_id, tuple(seeds), num_envs
        self.stream, self.keep_going = stream, keep_going
        n = len(self.seeds) * num_envs
        self.copies = Copies(maker, n)
        self.running = list(range(n))
        self.numbers, self.returns = [-1] * n, [0.0] * n
        self.clock, self.began = 0, [0] * n
        self.log: list[Sequence[Any]] = []
        self.fresh: list[int] = []
        self.broken: dict[int, str] = {}
        self.digests: Digests | None = None
        self._deadline = math.inf  # by the clock, when the first of them reaches the time limit

    def watch(self) -> None:
        """Keep checksums from now on, if these episodes may come to stand elsewhere."""
        if not self.copies.known:
            self.digests = Digests(len(self.numbers), self.obs.nbytes)

    def standing(self) -> tuple[Any, ...]:
        """Where all copies stand, for `restore`. Nothing that `step` and `finish` do changes what is in it."""
        return (
            self.obs, self.running, self.numbers, self.returns, self.clock, self.began, self.broken, self.digests,
            self.fresh, len(self.log),
        )  # fmt: skip

    def restore(self, standing: tuple[Any, ...]) -> None:
        """Stand there again, as if no step had been taken since."""
        (
            self.obs, self.running, self.numbers, self.returns, self.clock, self.began, self.broken, self.digests,
            self.fresh, logged,
        ) = standing  # fmt: skip
        del self.log[logged:]

    def stop(self, seed: int, env: int | None = None) -> None:
        """Step no more the copies of the seed at position ``seed``, or only its copy ``env``."""
        e = self.num_envs
        stopped = set(range(seed * e, seed * e + e)) if env is None else {seed * e + env}
        self.running = [i for i in self.running if i not in stopped]

    def begin_all(self, episode: int) -> None:
        """Start every copy afresh with its episode number ``episode``."""
        n = len(self.numbers)
        self.running, self.numbers = list(range(n)), [episode - 1] * n
        self.clock, self.log, self.fresh = 0, [], []
        for i in range(n):
            self.next(i)

    def next(self, i: int) -> None:
        """Let copy ``i`` begin its next episode; what it shows goes into ``obs``.

        Raises:
            EnvError: it raised, or returned what does not fit, or NaN or infinity.
        """
        self.numbers[i] += 1
        self.returns[i] = 0.0
        self.began[i] = self.clock
        self.fresh.append(i)
        s, e = divmod(i, self.num_envs)
        try:
            self.obs[i] = self.copies.reset(i, rng.episode_seed(self.seeds[s], self.stream, e, self.numbers[i]))
        except CopyError as error:
            raise self.failed(i, 0, error.__cause__) from error.__cause__
        if not finite(self.obs[i]):
            self._break(i, self._odd(i, 0, "an observation", self.obs[i]))
            self.obs[i] = 0
        if self.digests is not None:
            self.digests.begin(i, self.obs[i : i + 1])

    def step(self, actions: Sequence[Any], after: np.ndarray) -> tuple[list[float], Ended]:
        """Step the copies that run; ``obs`` stays what it was.

        Args:
            actions: of all n, as they are kept.
            after: (n, *O), takes what they show; those that stand still show what they showed.

        Returns:
            The rewards of all n, 0 for those that stand still, and which episodes ended.

        Raises:
            EnvError: a copy raised, or returned what does not fit, or NaN or infinity.
            AgentError: likewise, because an action was not finite.
        """
        if len(self.running) < len(self.numbers):
            after[:] = self.obs
        try:
            rewards, ended = self.copies.step(actions, self.running, after)
        except CopyError as e:
            raise self.failed(e.i, self.clock - self.began[e.i] + 1, e.__cause__) from e.__cause__
        if 2 * len(self.running) > len(self.numbers):
            self.returns = [total + reward for total, reward in zip(self.returns, rewards, strict=True)]
        else:  # stragglers of an evaluation
            self.returns = self.returns.copy()
            for i in self.running:
                self.returns[i] += rewards[i]
        self.log.append(actions)
        self.clock += 1
        self.fresh = []
        if self.clock >= self._deadline:
            for i in self.running:
                if self.clock - self.began[i] >= self.copies.limit:
                    ended[i] = (ended.get(i, (False, False))[0], True)
        if not finite(after) or not abs(sum(rewards)) < _LARGE:
            ended = self._without_odd_ones(actions, after, rewards, ended)
        if self.digests is not None:
            if ended:  # a reset may fail
                self.digests = self.digests.copy()
            self.digests.add(after, rewards)
        return rewards, ended

    def finish(self, ended: Ended, *, pausing: bool) -> list[Episode]:
        """The episodes that ended, whose copies begin their next ones, unless they are ``pausing``: then they stand.

        ``obs`` is written to.
        """
        self.numbers, self.began = self.numbers.copy(), self.began.copy()  # a reset that fails changes none
        finished = [self._episode(i, ended[i][0]) for i in sorted(ended)]
        if pausing:
            self.running = [i for i in self.running if i not in ended]
        else:
            for i in sorted(ended):
                self.next(i)
        return finished

    def settle(self) -> None:
        """After episodes began: when the first of them is due to be cut off, and what of the log still matters."""
        oldest = min((self.began[i] for i in self.running), default=self.clock)
        self._deadline = oldest + self.copies.limit if self.copies.limit else math.inf
        if len(self.log) > 2 * (self.clock - oldest) + 1000:
            del self.log[: len(self.log) - (self.clock - oldest)]

    def actions(self, i: int) -> list[Any]:
        """What copy ``i`` did in its episode under way."""
        begin = len(self.log) - (self.clock - self.began[i])
        return [row[i] for row in self.log[max(0, begin) :]]

    def failed(self, i: int, step: int, e: BaseException | None) -> EnvError:
        """What to raise where the code of copy ``i`` raised ``e`` in a step of its episode; 0: in the reset."""
        assert e is not None
        error = ForeignError(self.env_id, self._where(i, step), in_one_line(e))
        error.seed = i // self.num_envs
        return error

    def _episode(self, i: int, terminated: bool) -> Episode:
        s, e = divmod(i, self.num_envs)
        taken, number = self.actions(i), self.numbers[i]
        reset_seed = rng.episode_seed(self.seeds[s], self.stream, e, number)
        return Episode(s, e, number, self.returns[i], len(taken), terminated, reset_seed, taken)

    def _without_odd_ones(self, actions: Sequence[Any], after: np.ndarray, rewards: list[float], ended: Ended) -> Ended:
        """Deal with copies that gave numbers which float32 does not hold, if there are any."""
        if not self.copies.action_codec.discrete and not np.isfinite(np.array(actions)).all():
            shown = np.array(actions).ravel()[:8].tolist()
            raise AgentError(f"the agent gave an action that is not finite: {shown}")
        for i, what in self._odd_ones(after, rewards):
            self._break(i, what)
            after[i], rewards[i] = self.obs[i], 0.0
        return {i: how for i, how in ended.items() if i // self.num_envs not in self.broken}

    def _break(self, i: int, what: str) -> None:
        """Stop the seed of copy ``i``, which gave ``what``, or all of it."""
        s = i // self.num_envs
        if not self.keep_going:
            raise NotFiniteError(what, s)
        self.broken = {**self.broken, s: what}
        self.stop(s)

    def _odd_ones(self, obs: np.ndarray, rewards: list[float]) -> Iterator[tuple[int, str]]:
        """The copies with numbers that float32 does not hold, and what they returned."""
        for i in self.running:
            step = self.clock - self.began[i]
            if not abs(rewards[i]) <= _LARGEST:
                yield i, self._odd(i, step, "a reward", np.array(rewards[i]))
            elif not np.isfinite(obs[i]).all():
                yield i, self._odd(i, step, "an observation", obs[i])

    def check_masks(self, mask: np.ndarray) -> None:
        """Raises EnvError where a copy that runs allows none of its actions. ``mask`` is (n, A), True where legal."""
        for i in self.running:
            if not mask[i].any():
                step = self.clock - self.began[i]
                raise self.failed(i, step, Unfit("its action_mask allows no action, and the episode goes on"))

    def _odd(self, i: int, step: int, name: str, value: np.ndarray) -> str:
        """What to say of numbers that are not finite, or not in float32."""
        large = self.copies.obs_codec.too_large
        shown, what = observations.array_text(value), "is not finite"
        if large or np.isfinite(value).all():
            shown, what = (f"{large[0]:g}" if large else shown), "is too large for float32"
            large.clear()
        return f"{self.env_id} returned {name} that {what} at {self._where(i, step)}: {shown}"

    def _where(self, i: int, step: int) -> str:
        s, e = divmod(i, self.num_envs)
        return f"step {step} of episode {self.numbers[i]} (seed {self.seeds[s]}, env {e})"
