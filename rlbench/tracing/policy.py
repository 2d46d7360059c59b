"""A trained agent as one module: raw observations in, the environment's actions and what the agent shows out.

It asks the agent as everybody does (`acting.choose`, `acting.explained`), so that whatever agent acts by operations on
tensors can be written down, a user's own too. It holds an agent of its own, built anew from the state of the live one.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..acting import choose, explained
from ..agent import Agent
from ..border.extras import MASK, taken
from ..border.spaces import ActionCodec, declared
from ..errors import AgentError, UsageError
from ..policyfile.leaves import obs_ports
from ..policyfile.metadata import Port, Space
from ..trained.explain import AXES
from ..trained.load import Trained
from ..types import Extras
from .describe import described, shown_space
from .encode import Decoder, Encoder
from .votes import Vote, best_seed

MEMORY, NEXT = "memory", "next_"  # the name of what is remembered, and what stands before it where it comes out


class Contract(NamedTuple):
    """What goes into a policy and what comes out, as far as its environment says it."""

    obs: Space
    action: Space
    inputs: list[Port]  # of observations, and of a mask
    encoder: Encoder
    codec: ActionCodec


def contract(trained: Trained) -> Contract:
    """What a policy's file takes.

    Raises:
        UsageError: a space that no file can take as numbers, or an agent that wants to be told more than a mask.
    """
    env_id, maker, parts = trained.recipe.env, trained.maker, trained.parts
    for source in maker.extras:
        if source.name != MASK:
            raise UsageError(
                f"{trained.recipe.agent} wants to be told {source.text} of {env_id} besides its observations, and a "
                f"policy file takes nothing of that kind but an {MASK}: let the environment say it as a part of what "
                "is observed."
            )
    with closing(maker()) as env:
        given, acts = declared(env, "observation_space", env_id), declared(env, "action_space", env_id)
    space = shown_space(given, parts.obs_codec, taken(maker.extras))
    obs, action = described(space, env_id, "observations"), described(acts, env_id, "actions")
    masks = [Port(name=MASK, role="mask", shape=source.form.shape, dtype="bool") for source in maker.extras]
    return Contract(obs, action, [*obs_ports(obs), *masks], Encoder(space, parts.obs_codec), parts.action_codec)


def anew(trained: Trained) -> Agent:
    """Another agent of the same state, whose parameters lie each in memory of their own: where they are views of one
    tensor, a file would hold all of that for each."""
    agent, _ = trained.parts.made(trained.seeds)
    agent.load_state_dict(trained.agent.state_dict())
    for module in _modules_of(agent):
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.data = tensor.data.clone()
    return agent


def _modules_of(holder: Any) -> list[nn.Module]:
    """The modules that an agent holds, in its attributes, lists and dicts, and those of objects of its own."""
    found: dict[int, nn.Module] = {}
    seen: set[int] = set()
    waiting = [holder]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, nn.Module):
            found[id(one)] = one
        elif isinstance(one, Mapping):
            waiting += one.values()
        elif isinstance(one, list | tuple | set):
            waiting += one
        elif hasattr(one, "__dict__") and not isinstance(one, type | Tensor) and not callable(one):
            waiting += vars(one).values()
    return list(found.values())


class PolicyModule(nn.Module):
    """``forward(*inputs)`` takes raw observations leaf by leaf, then a mask, then what is remembered, (B, ...) each.

    It gives, in a tuple in the order of `outputs`: the action, what the agent's ``explain`` shows, what is remembered
    then. Several seeds vote on the action, and of what they show the mean is given; what each remembers is its own.

    Args:
        trained: whose policy.
        agent: of that state; it is changed.
        made: the contract.

    Attributes:
        inputs: all ports, in the order of the arguments.
        memory: name of an input -> what the agent calls it.
        shown: names of what is shown.
    """

    def __init__(self, trained: Trained, agent: Agent, made: Contract) -> None:
        super().__init__()
        self.agent, self.seeds = agent, len(trained.seeds)
        self.encoder, self.decoder = made.encoder, Decoder(made.codec)
        self.vote = Vote(made.codec, best_seed(trained)) if self.seeds > 1 else None
        self.leaves = sum(port.role == "obs" for port in made.inputs)
        self.masked = any(port.role == "mask" for port in made.inputs)
        self.shown: tuple[str, ...] = ()
        self.begin(1)
        recalled = agent.recall()
        self.memory = {MEMORY if len(recalled) == 1 else f"{MEMORY}.{name}": name for name in recalled}
        self.inputs = [*made.inputs, *(self._memory_port(port, recalled[name]) for port, name in self.memory.items())]

    def begin(self, batch: int) -> None:
        """Episodes begin in a batch of so many."""
        self.agent.begin(torch.ones((self.seeds, batch), dtype=torch.bool), explore=False)

    def _memory_port(self, name: str, tensor: Tensor) -> Port:
        if tensor.shape[:2] != (self.seeds, 1) or bool((tensor != 0).any()):
            raise AgentError(
                f"{type(self.agent).__name__}.recall gave {name} of shape {tuple(tensor.shape)} after begin; it is "
                f"({self.seeds}, 1, ...), and zero where an episode begins"
            )
        shape = tuple(tensor.shape[2:]) if self.seeds == 1 else (self.seeds, *tensor.shape[2:])
        return Port(name=name, role="memory", shape=shape, dtype=str(tensor.dtype).removeprefix("torch."))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        agent = self.agent
        obs = self._of_seeds(self.encoder(inputs[: self.leaves]))  # (S, B, *O)
        rest = list(inputs[self.leaves :])
        extras: Extras = {MASK: self._of_seeds(rest.pop(0))} if self.masked else {}
        if self.memory:
            agent.remember({name: self._taken(x) for name, x in zip(self.memory.values(), rest, strict=True)})
        told = explained(agent, obs, extras)  # before it acts, as `trained.explain` has it
        shown = {name: told[name] for name in AXES if told.get(name) is not None}
        action, _ = choose(agent, obs, extras, explore=False)
        self.shown = tuple(shown)
        after = agent.recall() if self.memory else {}
        return (
            self.decoder(action[0] if self.vote is None else self.vote(action)),
            *(x[0] if self.seeds == 1 else x.mean(0) for x in shown.values()),
            *(self._given(after[name]) for name in self.memory.values()),
        )

    def _of_seeds(self, x: Tensor) -> Tensor:
        """(B, ...) to (S, B, ...), the same for all."""
        return x.unsqueeze(0) if self.seeds == 1 else x.unsqueeze(0).expand(self.seeds, *([-1] * x.dim()))

    def _taken(self, memory: Tensor) -> Tensor:
        return memory.unsqueeze(0) if self.seeds == 1 else memory.transpose(0, 1)

    def _given(self, memory: Tensor) -> Tensor:
        return memory[0] if self.seeds == 1 else memory.transpose(0, 1)

    def outputs(self, examples: Sequence[Tensor]) -> list[Port]:
        """The ports of what comes out, told by trying."""
        self.begin(len(examples[0]))
        with torch.no_grad():
            made = self(*examples)
        names = [("action", "action", ""), *((name, "shown", "") for name in self.shown)]
        names += [(NEXT + name, "memory", name) for name in self.memory]
        return [
            Port(name=name, role=role, shape=tuple(x.shape[1:]), dtype=str(x.dtype).removeprefix("torch."), of=of)
            for (name, role, of), x in zip(names, made, strict=True)
        ]
