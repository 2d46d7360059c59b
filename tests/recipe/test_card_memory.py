"""The memory of cards is looked at before a run begins; the cards are stood for by the CPU and by numbers."""

import re
from typing import Any

import pytest
import torch
from conftest import make_spec
from rlbench.agents.dqn import DQN
from rlbench.agents.ppo import PPO

from rlbench.process.resources import GIB
from rlbench.recipe import Recipe, build, card_memory
from rlbench.recipe.card_memory import PROCESS, CardNeed, card_need, check_cards, free_on
from rlbench.recipe.held import lying_on
from rlbench.recipe.memory import NoRoom
from rlbench.rng import Streams
from rlbench.training import train as training

CPU, ZERO, ONE = torch.device("cpu"), torch.device("cuda:0"), torch.device("cuda:1")
MIB = 2**20


def recipe(**keys: Any) -> Recipe:
    return Recipe(env="CartPole-v1", hyper={"capacity": 50_000, "batch_size": 64}, **keys)


def dqn(seeds: int, **hyper: Any) -> DQN:
    config = DQN.Config(**{"hidden": (64, 64), "capacity": 500, **hyper})
    return DQN(make_spec(num_seeds=seeds), config, Streams(list(range(seeds)), CPU))


class Held:
    __slots__ = ("inside",)

    def __init__(self, inside: Any) -> None:
        self.inside = inside


def test_memory_is_found_wherever_it_is_held_and_counted_once() -> None:
    whole = torch.zeros(1000)
    param = torch.nn.Parameter(torch.zeros(10))
    param.grad = torch.zeros(10)
    held: dict[str, Any] = {"a": [whole[:3], whole.view(10, 100)], "b": Held((param, torch.zeros(0))), "c": {1: whole}}
    held["itself"] = held
    seen: set[int] = set()
    assert sum(lying_on(CPU, held, seen)) == 4000 + 40 + 40
    assert sum(lying_on(CPU, [whole, param], seen)) == 0
    assert sum(lying_on(ZERO, held, set())) == 0


def test_the_need_of_learners_is_counted_from_their_tensors() -> None:
    agent = dqn(3)
    need = card_need(agent, agent.spec, 3, CPU, {"batch_size": 64})
    params = 4 * 64 + 64 + 64 * 64 + 64 + 64 * 2 + 2
    assert need.networks >= 3 * 4 * params * 5  # online, target, gradients and two moments
    assert need.networks <= 3 * 4 * params * 8 + 2 * MIB  # numbers drawn ahead, among others
    assert need.passing == 3 * 4 * 64 * (2 * (64 + 64 + 2) + 4) * card_memory.AT_ONCE
    assert need.seeds == 3
    steps = {"batch_size": 64, "sequence_length": 10, "burn_in": 5}
    assert card_need(agent, agent.spec, 3, CPU, {**steps, "memory": "none"}).passing == need.passing
    assert card_need(agent, agent.spec, 3, CPU, {**steps, "memory": "gru"}).passing == 15 * need.passing
    assert need.of(6).networks == 2 * need.networks
    assert need.whole == need.networks + need.replay + need.passing
    nowhere = card_need(agent, agent.spec, 3, ZERO, {"batch_size": 64})
    assert (nowhere.networks, nowhere.replay) == (0, 0)


def test_the_rollout_is_a_buffer_and_pictures_are_wide() -> None:
    spec = make_spec((4, 84, 84), torch.uint8, num_seeds=1)
    agent = PPO(spec, PPO.Config(rollout_steps=16, batch_size=16), Streams([0], CPU))
    need = card_need(agent, spec, 1, CPU, {"batch_size": 16})
    assert need.replay >= 16 * 4 * 84 * 84  # as bytes, once
    assert need.passing > 4 * 16 * 4 * 84 * 84
    assert need.capacity == 16


@pytest.mark.parametrize("count", [1, 2])
def test_what_is_said_to_fit_fits(count: int) -> None:
    need = CardNeed(100, 30 * GIB, 100 * GIB, 5 * GIB, 50_000)
    made = recipe(seeds=100, replay="device")
    cards = {ZERO: [100]} if count == 1 else {ZERO: [50], ONE: [25, 25]}
    free = dict.fromkeys(cards, 80 * GIB // count)
    with pytest.raises(NoRoom, match=rf"{100 // count} seeds need about [\d.]+ GiB of the memory of cuda:0 \(net") as e:
        check_cards(need, made, cards, free)
    (seeds,) = re.findall(r"--seeds (\d+)", str(e.value))
    (capacity,) = re.findall(r"--set dqn\.capacity=(\d+)", str(e.value))
    assert str(e.value).endswith("or --device cpu.")
    own = PROCESS * (count - 1)
    for part in (
        need.of(int(seeds)),
        need._replace(replay=need.replay * int(capacity) // 50_000),
    ):
        assert 0.9 * 80 * GIB < part.whole + own <= 80 * GIB
    less = {card: [int(seeds) // count // len(each)] * len(each) for card, each in cards.items()}
    (said, *_) = check_cards(need, made, less, free)
    assert re.fullmatch(r"Memory of cuda:0: about .* GiB \(networks .*\); \d+\.0 GiB are free\.", said)
    assert "--set replay=host" in str(e.value)
    made = made.replace(replay="auto")  # which then leaves the buffers to the host
    assert ", replay buffers" not in check_cards(need, made, cards, free)[0]


def test_a_card_that_is_full_leaves_the_cpu_alone() -> None:
    with pytest.raises(NoRoom, match=r"one seed needs .* and 10\.0 MiB are free\. What fits: --device cpu\.$"):
        check_cards(CardNeed(1, 40 * MIB, 0, MIB), recipe(seeds=1), {ZERO: [1]}, {ZERO: 10 * MIB})


def test_several_processes_on_a_card_each_take_a_part_for_themselves() -> None:
    need = CardNeed(4, 4 * GIB, 0, 0)
    assert check_cards(need, recipe(), {ZERO: [4]}, {ZERO: 5 * GIB})
    with pytest.raises(NoRoom, match=r"4 processes about 2\.3 GiB"):
        check_cards(need, recipe(seeds=4), {ZERO: [1, 1, 1, 1]}, {ZERO: 5 * GIB})


def test_a_little_is_not_worth_a_word() -> None:
    assert check_cards(CardNeed(1, 50 * MIB, 0, MIB), recipe(), {ZERO: [1]}, {ZERO: 80 * GIB}) == []
    assert check_cards(CardNeed(1, 50 * MIB, 0, MIB), recipe(), {ZERO: [1]}, {ZERO: 100 * MIB})


def test_what_this_process_has_taken_is_there_to_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda card: (3 * GIB, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda card: GIB)
    assert free_on(ZERO) == 4 * GIB


@pytest.mark.parametrize(("device", "seeds"), [("cuda:0", [12]), ("cuda:0,cuda:1", [6, 6])])
def test_a_run_looks_at_each_of_its_cards(device: str, seeds: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    made = Recipe.load(env="CartPole-v1", overrides={"seeds": 12, "device": device, "dqn.capacity": 100_000})
    parts = build.build(made, [0], "cpu")._replace(device=ZERO)
    monkeypatch.setattr(training, "places", lambda recipe, at: [
        {"first_seed": 0, "seeds": n, "device": f"cuda:{k}", "name": "a card"} for k, n in enumerate(seeds)
    ])  # fmt: skip
    monkeypatch.setattr(training, "card_need", lambda agent, spec, built, at, hyper: CardNeed(built, 2 * GIB, 0, 0))
    monkeypatch.setattr(training, "free_on", lambda card: 24 * GIB // len(seeds) - (card.index or 0))
    if len(seeds) == 1:
        (said,) = training._card_notes(made, parts)
        assert said.startswith("Memory of cuda:0: about 24.0 GiB (")
    else:
        with pytest.raises(NoRoom, match=r"6 seeds need about 12\.0 GiB of the memory of cuda:1 .*--seeds 10, "):
            training._card_notes(made, parts)
    assert training._card_notes(made, parts._replace(device=CPU)) == []
