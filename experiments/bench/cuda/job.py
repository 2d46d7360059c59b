"""What is timed on a card: recipes whose buffers and environments lie here or there, and a loop that is warmed up."""

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch

from rlbench.process.denormals import flush
from rlbench.recipe import Recipe
from rlbench.recipe.build import build, make_envs
from rlbench.rollout.loop import Step, run

from ..workloads import CLASSIC, recipe

WARM_UP = 120  # vector steps before a clock starts: the buffer holds a batch, kernels are loaded, graphs are made
HOST, DEVICE = {"envs_on": "host", "replay": "host"}, {"envs_on": "device", "replay": "device"}


class Job(NamedTuple):
    """What the stages are asked to do."""

    device: str
    seeds: list[int]
    steps: int

    @property
    def cuda(self) -> bool:
        """Whether it is a card, and no rehearsal."""
        return self.device.startswith("cuda")

    @property
    def places(self) -> list[tuple[str, dict[str, Any]]]:
        """Where to compute, and with environments and buffers where: on the card with both, and on the CPU."""
        card = [(self.device, HOST), (self.device, DEVICE)]
        return [*card, ("cpu", HOST)] if self.cuda else card

    def widths(self, *wanted: int) -> list[int]:
        """Numbers of seeds; no more than were asked for."""
        return list(dict.fromkeys(min(n, max(self.seeds)) for n in wanted))


def named(device: str, where: dict[str, Any]) -> str:
    """A row's name: the device, and what lies on it besides networks."""
    return f"{device}, envs and replay {where['envs_on']}"


def classic(seeds: int, **keys: Any) -> Recipe:
    """DQN on CartPole, 64/64, batches of 64, an update every 4 steps; a small buffer, for many seeds are to fit.

    No seed stops before the others: where one may, with an episode, the host reads of every step what came of it.
    """
    made = recipe(CLASSIC, seeds)
    whole = {"max_episodes": 0, "stop_when_solved": False}
    return made.replace(hyper={**made.hyper, "capacity": 10_000}, **{**whole, **keys})


def pixels(seeds: int, **keys: Any) -> Recipe:
    """Catch on 84 x 84 pixels with the network of Mnih et al. 2015, batches of 32, an update every 4 steps."""
    return Recipe.load(
        env="rlbench/Catch-v0",
        overrides={
            "seeds": seeds, "env_kwargs": {"rows": 84, "columns": 84}, "dqn.capacity": 500, "dqn.batch_size": 32,
            "dqn.learning_starts": 32, "dqn.train_every": 4, **keys,
        },
    )  # fmt: skip


def on_policy(agent: str, seeds: int, **keys: Any) -> Recipe:
    """An agent's own recipe for CartPole."""
    return Recipe.load(env="CartPole-v1", agent=agent, overrides={"seeds": seeds, **keys})


AGENTS: dict[str, Callable[..., Recipe]] = {
    "dqn": classic, "ppo": partial(on_policy, "ppo"), "pqn": partial(on_policy, "pqn"),
}  # fmt: skip


class Loop:
    """A training loop on a device, warmed up."""

    def __init__(self, made: Recipe, device: str, warm_up: int = WARM_UP) -> None:
        self.cuda = device.startswith("cuda")
        self.parts = build(made, made.seed_numbers, device)
        self.envs = make_envs(self.parts, made)
        self._steps: Iterator[Step] = run(self.parts.agent, self.envs)
        self.go(warm_up)

    def go(self, steps: int) -> float:
        """Seconds that ``steps`` vector steps take."""
        began = time.perf_counter()
        for _ in range(steps):
            next(self._steps)
        if self.cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - began

    def us(self, steps: int, rounds: int = 3) -> float:
        """Microseconds of a vector step: the best of some rounds."""
        return 1e6 * min(self.go(steps) for _ in range(rounds)) / steps

    def close(self) -> None:
        """Let go of the environments, and of what the card holds for nobody."""
        self._steps = iter(())
        self.envs.close()
        flush(False)
        if self.cuda:
            torch.cuda.empty_cache()


def microseconds(work: Callable[[], object], cuda: bool, times: int = 50) -> float:
    """Of one call; the median of five rounds."""

    def once() -> float:
        began = time.perf_counter()
        for _ in range(times):
            work()
        if cuda:
            torch.cuda.synchronize()
        return 1e6 * (time.perf_counter() - began) / times

    once()
    return round(statistics.median(once() for _ in range(5)), 1)


def least_bytes(agent: Any, batch: int) -> int:
    """Bytes that an update of DQN reads or writes at least: parameters and what Adam keeps, 14 times, and its batch."""
    return int(4 * agent.online.data.numel() * 14 + batch)
