"""An agent in the environments of a place: driven step by step, looked at, saved and loaded as a run does it."""

import io
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..acting import choose, explained
from ..agent import Agent, AgentConfig
from ..agent_state import snapshot
from ..border.make import EnvMaker
from ..rng import Streams
from ..rollout.env_batch import EnvBatch
from ..rollout.loop import Step, run
from ..runfolder.checkpoint_file import check_plain, from_file, in_file
from ..types import Extras, Spec


class Trial:
    """An agent, newly built, before its first step.

    Args:
        cls: its class.
        config: its hyper-parameters.
        maker: makes the environments.
        seeds: the numbers of its S seeds.
        num_envs: E.
        total_steps: that it is told.
        device: where it computes.

    Attributes:
        agent: it.
        envs: the environments.
        streams: what it draws from.
        spec: what it was told of the environments.
        taken: vector steps so far.
    """

    def __init__(
        self,
        cls: type[Agent],
        config: AgentConfig,
        maker: EnvMaker,
        seeds: Sequence[int],
        num_envs: int,
        total_steps: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.cls, self.config, self.seeds, self.taken = cls, config, list(seeds), 0
        self.envs = EnvBatch(maker, seeds, num_envs, device=device)
        self.spec: Spec = self.envs.spec._replace(total_steps=total_steps)
        self.streams = Streams(seeds, device)
        self.agent = cls(self.spec, config, self.streams)
        self._steps: Iterator[Step] | None = None

    @property
    def env_steps(self) -> int:
        """Steps of all envs of a seed together."""
        return self.taken * self.spec.num_envs

    @property
    def updates(self) -> int:
        return self.agent.updates

    def go(self, steps: int) -> list[Step]:
        """The next vector steps, in which it explores and learns."""
        return [self.step() for _ in range(steps)]

    def step(self) -> Step:
        """The next vector step."""
        if self._steps is None:
            obs = self.envs.obs if self.taken else None
            self._steps = run(self.agent, self.envs, obs=obs)
        self.taken += 1
        return next(self._steps)

    def learn(self, updates: int = 1, most: int = 300) -> list[Step]:
        """As `go`, until it counts so many updates more, or has taken so many steps."""
        begun = self.updates
        steps: list[Step] = []
        while self.updates < begun + updates and len(steps) < most:
            steps.append(self.step())
        return steps

    def act(self, obs: Tensor, extras: Extras | None = None, *, explore: bool = False, begin: bool = True) -> Tensor:
        """What it does for observations (S, E, *O), at the beginning of episodes unless said otherwise; a copy."""
        if begin:
            self.agent.begin(torch.ones(obs.shape[:2], dtype=torch.bool), explore=explore)
        action, _ = choose(self.agent, obs, extras or self.extras(obs), explore=explore)
        return action.detach().clone() if isinstance(action, Tensor) else action

    def explain(self, obs: Tensor, extras: Extras | None = None) -> dict[str, Tensor]:
        """What it makes of observations."""
        said: dict[str, Tensor] = explained(self.agent, obs, extras or self.extras(obs))
        return said

    def extras(self, obs: Tensor) -> Extras:
        """What an environment might say with observations (S, E, *O), of that which the agent wants: all is legal."""
        lead = obs.shape[:2]
        return {name: torch.ones(*lead, *x.shape, dtype=x.dtype) for name, x in self.spec.extras.items()}

    def look(self, num_envs: int, salt: int = 0) -> Tensor:
        """(S, E, *O): observations that differ, the same at every call; each seed's are its own."""
        spec, numbers = self.spec, torch.Generator().manual_seed(7 + salt)
        size = (spec.num_seeds, num_envs, *spec.obs_shape)
        if spec.num_obs is not None:
            return torch.randint(spec.num_obs, size, generator=numbers)
        if spec.obs_dtype == torch.uint8:
            return torch.randint(256, size, generator=numbers).to(torch.uint8)
        return torch.rand(size, generator=numbers) * 2 - 1

    # What it holds.

    def held(self) -> dict[str, Any]:
        """A copy of all that a checkpoint would hold of it."""
        replay = None if self.agent.replay is None else self.agent.replay.state_dict()
        whole = {"agent": self.agent.state_dict(), "replay": replay, "streams": self.streams.state_dict()}
        copied: dict[str, Any] = snapshot(whole)
        return copied

    def saved(self) -> bytes:
        """All that it and its environments hold, as a file has it.

        Raises:
            CheckpointError: it holds something that no file can.
        """
        whole = {**self.held(), "envs": self.envs.state_dict(), "taken": self.taken}
        check_plain(whole["agent"], "state_dict()")
        check_plain(whole["replay"], "replay.state_dict()")
        file = io.BytesIO()
        torch.save(in_file(whole), file)
        return file.getvalue()

    def hand_over(self, agent: Agent, streams: Streams) -> None:
        """Let another agent go on here."""
        self.agent, self.streams, self._steps = agent, streams, None

    def restore(self, file: bytes) -> dict[str, Any]:
        """Stand where another of the same seeds stood when it was `saved`, as a run that is resumed does.

        Returns:
            What was loaded; the agent has been given these very tensors.
        """
        whole: dict[str, Any] = from_file(torch.load(io.BytesIO(file), weights_only=True))
        self.agent.load_state_dict(whole["agent"])
        self.streams.load_state_dict(whole["streams"])
        if self.agent.replay is not None:
            self.agent.replay.load_state_dict(whole["replay"])
        self.envs.load_state_dict(whole["envs"])
        self.taken, self._steps = whole["taken"], None
        return whole
