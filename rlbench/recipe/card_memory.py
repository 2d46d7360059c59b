"""Room on a card: what learners take of its memory, said before training starts, and what fits if it is too much.

Tensors of a built agent are counted as they lie there: networks, optimisers and gradients, and the rollout or the
replay buffer if it is the card's. What lies between one layer and the next while an update is computed cannot be
counted beforehand: it is reckoned from batch and layers, and graphs keep it for good. Environments on the card, a few
numbers each, are not counted.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from ..agent import Agent
from ..types import Spec
from ..units import byte_size
from .held import lying_on
from .memory import CONSIDERABLE, SHARE, NoRoom, rounded_down
from .recipe import Recipe

PROCESS = 600 * 2**20  # bytes that a process takes of a card for itself, about: kernels, and what libraries work in
# Copies of what lies between layers: a batch on its way there and back, and what graphs of acting hold besides.
AT_ONCE = 4


class CardNeed(NamedTuple):
    """Bytes of a card's memory, of ``seeds`` learners together."""

    seeds: int
    networks: int  # and what belongs to them
    replay: int  # of buffers that lie there
    passing: int  # between layers, reckoned
    capacity: int = 0  # transitions of a seed that ``replay`` is the size of

    @property
    def whole(self) -> int:
        return self.networks + self.replay + self.passing

    def of(self, seeds: int) -> "CardNeed":
        """The need of so many."""
        networks, replay, passing = (x * seeds // self.seeds for x in (self.networks, self.replay, self.passing))
        return CardNeed(seeds, networks, replay, passing, self.capacity)


def card_need(agent: Agent, spec: Spec, built: int, device: torch.device, hyper: Mapping[str, Any]) -> CardNeed:
    """What ``built`` learners take.

    Args:
        agent: just built, for so many.
        spec: what it sees.
        built: seeds.
        device: the card; nothing that lies elsewhere is counted.
        hyper: its hyper-parameters.
    """
    seen: set[int] = set()
    replay = sum(lying_on(device, agent.replay, seen))
    known = getattr(agent.replay, "device_nbytes", 0)  # of one that takes its memory when it is first needed
    replay = max(replay, known) if isinstance(known, int) and replay else replay
    networks = sum(lying_on(device, agent, seen))
    capacity = getattr(agent.replay, "capacity", 0)
    capacity = capacity if isinstance(capacity, int) else 0
    return CardNeed(built, networks, replay, built * _passing(agent, spec, hyper), capacity)


def _passing(agent: Agent, spec: Spec, hyper: Mapping[str, Any]) -> int:
    """Bytes of one seed between layers, while a batch goes through them and its gradients come back."""
    modules = [held for held in vars(agent).values() if isinstance(held, torch.nn.Module)]
    shapes = [param.shape for module in modules for param in module.parameters() if param.ndim >= 3]
    biases = [shape[-1] for shape in shapes if len(shape) == 3 and shape[1] == 1]  # (S, 1, outputs) of each layer
    width = sum(biases or [shape[-1] for shape in shapes if len(shape) == 3])
    obs = math.prod(spec.obs_shape) if spec.num_obs is None else 1
    width += obs * (2 if any(len(shape) > 3 for shape in shapes) else 1)  # convolutions give less than a picture holds
    rows = max(hyper.get("batch_size") or 0, spec.num_envs)
    remembers = hyper.get("memory") not in (None, "none")  # then rows are sequences of steps
    steps = (hyper.get("burn_in") or 0) + (hyper.get("sequence_length") or 1) if remembers else 1
    return 4 * rows * steps * width * AT_ONCE


def check_cards(
    need: CardNeed, recipe: Recipe, cards: Mapping[torch.device, Sequence[int]], free: Mapping[torch.device, int]
) -> list[str]:
    """What to say about the memory of cards, if it is worth a word.

    Args:
        need: of some of the learners.
        recipe: of the run.
        cards: how many seeds each process has, of those that compute there.
        free: bytes of each card that are there to be taken, with what this process has taken of it.

    Raises:
        NoRoom: there is not enough on one of them; says what would fit.
    """
    said = []
    for card, seeds in cards.items():
        part, own, room = need.of(sum(seeds)), PROCESS * (len(seeds) - 1), free[card]
        if recipe.replay == "auto" and part.whole + own > room:
            part = part._replace(replay=0)  # each process sees that there is no room for it, and leaves it to the host
        parts = f"networks and what belongs to them {byte_size(part.networks)}"
        parts += f", replay buffers {byte_size(part.replay)}" if part.replay else ""
        parts += f", between layers about {byte_size(part.passing)}"
        parts += f", {len(seeds)} processes about {byte_size(own + PROCESS)}" if own else ""
        whole = part.whole + own
        if whole > room:
            many = f"{part.seeds} seeds need" if part.seeds > 1 else "one seed needs"
            what = f"{many} about {byte_size(whole)} of the memory of {card} ({parts}), and {byte_size(room)} are free."
            raise NoRoom(what, _fits(need, recipe, len(cards), part, int(SHARE * room) - own))
        if whole > min(CONSIDERABLE, room // 10):
            said.append(f"Memory of {card}: about {byte_size(whole)} ({parts}); {byte_size(room)} are free.")
    return said


def _fits(need: CardNeed, recipe: Recipe, cards: int, part: CardNeed, room: int) -> str:
    """What to ask for instead, where ``part`` is one card's, on which there is so much ``room``."""
    choices = []
    if seeds := cards * (max(0, room) * need.seeds // max(1, need.whole)):
        choices.append(f"--seeds {min(seeds, recipe.seeds - 1)}")
    if recipe.replay == "device" and room >= part.whole - part.replay:
        choices.append("--set replay=host")
    if part.replay and part.capacity and "capacity" in recipe.hyper:
        capacity = rounded_down(part.capacity * (room - part.networks - part.passing) / part.replay)
        if capacity > max(recipe.num_envs, recipe.hyper.get("batch_size") or 0):
            choices.append(f"--set {recipe.agent.rpartition(':')[2]}.capacity={capacity}")
    return f"What fits: {', '.join([*choices, 'or --device cpu'])}." if choices else "What fits: --device cpu."


def free_on(card: torch.device) -> int:
    """Bytes of a card's memory that this process may take, or has taken already."""
    return int(torch.cuda.mem_get_info(card)[0] + torch.cuda.memory_reserved(card))
