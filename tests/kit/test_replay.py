"""Tests of rlbench.replay: a state machine against a plain list, every field of a transition telling its id."""

import copy
import tracemalloc
from collections.abc import Iterator
from typing import Any, NamedTuple

import hypothesis
import numpy as np
import pytest
import torch
from cards import Recorded, never_waiting
from conftest import make_spec, random_transitions
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from torch import Tensor

from rlbench.cuda import feed
from rlbench.errors import NoMemory
from rlbench.replay import Replay, arrays, ring
from rlbench.replay.arrays import DeviceArrays, HostArrays
from rlbench.rng import Streams
from rlbench.types import Batch, Extra, Spec, Transition

GAMMA = 0.5  # sums of ids with these weights are exact in float32
KINDS: dict[str, dict[str, Any]] = {
    "vector": {"obs_shape": (3,), "num_actions": 5},
    "image": {"obs_shape": (2, 2), "obs_dtype": torch.uint8, "num_actions": 5},
    "image, continuous": {"obs_shape": (2, 1, 3), "obs_dtype": torch.uint8, "num_actions": None, "action_shape": (1,)},
    "index": {"num_obs": 100_000, "num_actions": 5},
    "continuous": {"obs_shape": (2, 2), "num_actions": None, "action_shape": (2, 2)},
    "scalar": {"obs_shape": (), "num_actions": None, "action_shape": ()},
}


class Item(NamedTuple):
    id: int
    terminated: bool
    truncated: bool


def obs_of(ident: int, spec: Spec) -> Tensor:
    """The observation with number ``ident``: all that tells it from others is in every element or in two bytes."""
    if spec.obs_dtype == torch.uint8:
        image = torch.zeros(spec.obs_shape, dtype=torch.uint8)
        image.view(-1)[0], image.view(-1)[-1] = divmod(ident, 256)
        return image
    return torch.full(spec.obs_shape, ident, dtype=spec.obs_dtype)


def action_of(ident: int, spec: Spec) -> Tensor:
    if spec.num_actions is not None:
        return torch.tensor(ident % spec.num_actions)
    return (ident + 0.25 * torch.arange(torch.Size(spec.action_shape).numel())).view(spec.action_shape)


def ident_of(obs: Tensor) -> int:
    flat = obs.flatten().tolist()
    return flat[0] * 256 + flat[-1] if obs.dtype == torch.uint8 else int(flat[0])


def grid(spec: Spec, items: list[list[Item]]) -> Transition:
    """The transition in which (s, e) does item [s][e]; next_obs has the id plus one, and ids are even."""

    def each(make: Any) -> Tensor:
        return torch.stack([torch.stack([make(item) for item in row]) for row in items])

    return Transition(
        obs=each(lambda i: obs_of(i.id, spec)),
        action=each(lambda i: action_of(i.id, spec)),
        reward=each(lambda i: torch.tensor(float(i.id))),
        next_obs=each(lambda i: obs_of(i.id + 1, spec)),
        terminated=each(lambda i: torch.tensor(i.terminated)),
        truncated=each(lambda i: torch.tensor(i.truncated)),
    )


class ReplayMachine(RuleBasedStateMachine):
    """``kept[s][e]`` is the list that the buffer must behave like."""

    @initialize(
        kind=st.sampled_from(list(KINDS)), seeds=st.integers(1, 2), envs=st.integers(1, 3), n_step=st.integers(1, 4),
        spare=st.integers(0, 6), odd=st.integers(0, 2), where=st.sampled_from(["host", "device"]),
    )  # fmt: skip
    def build(self, kind: str, seeds: int, envs: int, n_step: int, spare: int, odd: int, where: str) -> None:
        self.spec = make_spec(**KINDS[kind], num_seeds=seeds, num_envs=envs, replay=where)
        self.n_step, self.length, self.next_id = n_step, n_step + spare, 0
        self.capacity = self.length * envs + odd % envs  # what does not fill a row of envs is not used
        self.streams = Streams([3, 8][:seeds])
        self.replay = self.fresh()
        self.kept: list[list[list[Item]]] = [[[] for _ in range(envs)] for _ in range(seeds)]

    def fresh(self) -> Replay:
        replay = Replay(self.spec, self.capacity, self.streams["replay"], gamma=GAMMA, n_step=self.n_step)
        if self.spec.obs_dtype != torch.uint8:  # memory that was never written may hold anything
            replay._x.tensor(replay._rows).fill_(float("nan"))
        return replay

    @rule(data=st.data())
    def add(self, data: st.DataObject) -> None:
        items = []
        for s in range(self.spec.num_seeds):
            items.append([])
            for e in range(self.spec.num_envs):
                ends = data.draw(st.sampled_from([(False, False)] * 5 + [(True, False), (False, True), (True, True)]))
                item = Item(self.next_id, *ends)
                self.next_id += 2
                items[s].append(item)
                self.kept[s][e] = [*self.kept[s][e], item][-self.length :]
        self.replay.add(grid(self.spec, items))
        assert len(self.replay) == len(self.kept[0][0]) * self.spec.num_envs

    @precondition(lambda self: self.next_id > 0)
    @rule(batch=st.integers(1, 40))
    def sample(self, batch: int) -> None:
        got = self.replay.sample(batch)
        assert got.obs.shape == got.next_obs.shape == (self.spec.num_seeds, batch, *self.spec.obs_shape)
        assert got.obs.dtype == got.next_obs.dtype == self.spec.obs_dtype
        discrete = self.spec.num_actions is not None
        assert got.action.dtype == (torch.int64 if discrete else torch.float32)
        assert got.reward.dtype == got.discount.dtype == torch.float32
        for s in range(self.spec.num_seeds):
            expected = self.windows(s)
            for b in range(batch):
                ident = ident_of(got.obs[s, b])
                last, reward, discount = expected[ident]
                assert torch.equal(got.obs[s, b], obs_of(ident, self.spec))
                assert torch.equal(got.action[s, b], action_of(ident, self.spec))
                assert torch.equal(got.next_obs[s, b], obs_of(last + 1, self.spec))
                assert (got.reward[s, b].item(), got.discount[s, b].item()) == (reward, discount)

    def windows(self, s: int) -> dict[int, tuple[int, float, float]]:
        """id -> (id of the last transition in its window, return, discount), by the definition."""
        found = {}
        for items in self.kept[s]:
            for i, first in enumerate(items):
                reward, k = 0.0, 0
                for last in items[i : i + self.n_step]:
                    reward += GAMMA**k * last.id
                    k += 1
                    if last.terminated or last.truncated:
                        break
                found[first.id] = (last.id, reward, GAMMA**k * (not last.terminated))
        return found

    @rule()
    def restore(self) -> None:
        state = copy.deepcopy(self.replay.state_dict())
        self.replay = self.fresh()
        self.replay.load_state_dict(state)
        for leaf in state.values():  # the buffer has copied
            if isinstance(leaf, Tensor):
                leaf.zero_()


TestReplay = ReplayMachine.TestCase
TestReplay.settings = hypothesis.settings(max_examples=60, stateful_step_count=25)


def filled(spec: Spec, capacity: int, steps: int, seeds: list[int], **options: Any) -> Replay:
    replay = Replay(spec, capacity, Streams(seeds)["replay"], **options)
    for transition in random_transitions(spec, steps):
        replay.add(transition)
    return replay


def assert_same(one: Batch, other: Batch) -> None:
    for name, a, b in zip(Batch._fields, one, other, strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("steps", [7, 30])  # not yet full, and in the middle of the third round
def test_a_restored_buffer_gives_the_same_samples_from_there_on(n_step: int, steps: int) -> None:
    spec = make_spec(num_seeds=2, num_envs=2)
    old = filled(spec, 26, steps, [3, 8], n_step=n_step)
    old.sample(5)
    new = Replay(spec, 26, Streams([3, 8])["replay"], n_step=n_step)
    new.load_state_dict(copy.deepcopy(old.state_dict()))
    new.stream.position = old.stream.position
    for transition in random_transitions(spec, 20, seed=1):
        assert_same(old.sample(9), new.sample(9))
        old.add(transition)
        new.add(transition)
    assert len(old) == len(new) == 26


@pytest.mark.parametrize("n_step", [1, 3])
def test_a_seeds_samples_do_not_depend_on_its_neighbours(n_step: int) -> None:
    together = filled(make_spec(num_seeds=3, num_envs=2), 40, 30, [5, 6, 7], n_step=n_step)
    alone = filled(make_spec(num_seeds=1, num_envs=2), 40, 30, [5], n_step=n_step)
    for _ in range(50):
        one, all_seeds = alone.sample(7), together.sample(7)
        assert_same(one, Batch(*(leaf[:1] for leaf in all_seeds)))
        assert not torch.equal(all_seeds.obs[1], all_seeds.obs[2])


def test_sampling_is_uniform_over_what_is_held() -> None:
    spec = make_spec(num_obs=1000, num_seeds=2, num_envs=2)
    replay = Replay(spec, 40, Streams([0, 1])["replay"])
    for step in range(33):
        ids = [[Item(4 * step + 2 * e, False, False) for e in range(2)]] * 2
        replay.add(grid(spec, ids))
    counts = torch.bincount(replay.sample(20_000).obs.flatten(), minlength=1000)
    held = [4 * step + 2 * e for step in range(13, 33) for e in range(2)]
    assert counts.sum() == counts[held].sum() == 40_000  # the oldest are gone
    assert ((counts[held] - 1000) ** 2 / 1000).sum() < 72.1  # chi-square, 39 degrees of freedom, p = 0.001


def test_a_batch_is_no_view_of_the_buffer() -> None:
    replay = filled(make_spec(), 10, 10, [0])
    for leaf in replay.sample(5):
        leaf.fill_(0)
    assert replay.sample(50).obs.all()


def test_unusual_strides_are_stored_as_they_read() -> None:
    spec = make_spec((2, 3), num_actions=None, action_shape=(2, 2), num_seeds=2, num_envs=3)
    plain, odd = (Replay(spec, 30, Streams([0, 1])["replay"]) for _ in range(2))
    for transition in random_transitions(spec, 5):
        plain.add(transition)
        odd.add(Transition(*(x.transpose(0, 1).contiguous().transpose(0, 1) for x in transition)))
    assert_same(plain.sample(20), odd.sample(20))


SAID = {"extras": {"action_mask": Extra((2,), torch.bool), "level": Extra((), torch.int64)}}
WORLDS: dict[str, dict[str, Any]] = {
    **KINDS,
    "several": {"num_actions": None, "action_sizes": (3, 4), "action_shape": (2,)},
}


def with_extras(spec: Spec, steps: int) -> Iterator[Transition]:
    draw = np.random.default_rng(3).integers
    for t in random_transitions(spec, steps, end=0.2):
        for name, form in spec.extras.items():
            both = (
                torch.from_numpy(draw(0, 2, (spec.num_seeds, spec.num_envs, *form.shape))).to(form.dtype)
                for _ in range(2)
            )
            t.extras, t.next_extras = (
                {**kept, name: x} for kept, x in zip((t.extras, t.next_extras), both, strict=True)
            )
        yield t


@pytest.mark.parametrize("kind", WORLDS)
@pytest.mark.parametrize("n_step", [1, 3, 11])
@pytest.mark.parametrize("more", [{}, SAID], ids=["", "masks"])
def test_a_batch_is_the_same_one_wherever_the_buffer_lies(kind: str, n_step: int, more: dict[str, Any]) -> None:
    """Of rings not yet full and full, after `cut`, and after each has taken over what the other held."""
    spec = make_spec(**{**WORLDS[kind], **more}, num_seeds=3, num_envs=2)
    here, there = (
        Replay(spec._replace(replay=where), 41, Streams([3, 8, 1])["replay"], n_step=n_step, gamma=0.97)
        for where in ("host", "device")
    )
    assert (here.on_device, there.on_device) == (False, True)
    assert here.nbytes == there.nbytes
    assert there.device_nbytes == 0  # which is the host
    for i, t in enumerate(with_extras(spec, 60)):
        for replay in (here, there):
            replay.add(t)
            if i % 7 == 3:
                replay.cut(np.arange(6).reshape(3, 2) % 4 == 0)
        one, other = here.sample(9), there.sample(9)
        assert_same(one, other)
        assert one.extras.keys() == other.extras.keys() == spec.extras.keys()
        for name in spec.extras:
            assert torch.equal(one.extras[name], other.extras[name])
            assert torch.equal(one.next_extras[name], other.next_extras[name])
        if i in (12, 40):
            states = [copy.deepcopy(replay.state_dict()) for replay in (here, there)]
            assert states[0].keys() == states[1].keys()
            here.load_state_dict(states[1])
            there.load_state_dict(states[0])
    for a, b in zip(here.held(2), there.held(2), strict=True):
        assert np.array_equal(a, b)


def test_a_buffer_on_a_device_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "HERE", "elsewhere")
    for n_step in (1, 3):
        spec = make_spec(**SAID, num_seeds=3, num_envs=2, replay="device")
        replay = Replay(spec, 40, Streams([3, 8, 1])["replay"], n_step=n_step)
        assert replay.device_nbytes == replay.nbytes
        added = list(with_extras(spec, 30))
        with never_waiting():
            for t in added:
                replay.add(t)
                replay.sample(9)


@pytest.mark.parametrize("n_step", [1, 3])
def test_sampling_can_be_recorded_once_and_done_again(n_step: int) -> None:
    """What changes from one call to the next are the numbers drawn, and tensors: as a card's graph has it."""
    spec = make_spec(num_seeds=2, num_envs=2, replay="device")
    plain, other = (Replay(spec, 40, Streams([3, 8])["replay"], n_step=n_step) for _ in range(2))
    graph = Recorded(lambda u: tuple(other.at(u)), torch.device("cpu"))
    for t in random_transitions(spec, 70):
        plain.add(t)
        other.add(t)
        assert_same(plain.sample(9), Batch(*graph(other.shares(9))))
    assert graph.repeated == 67


def test_sums_are_added_up_in_one_order_everywhere() -> None:
    draw = np.random.default_rng(0).normal
    here, there = HostArrays(torch.device("cpu")), DeviceArrays(torch.device("cpu"))
    for n in (*range(1, 40), 64, 127, 128, 129, 137, 300):
        x = draw(size=(7, 3, n)).astype(np.float32)
        assert np.array_equal(there.summed(torch.from_numpy(x)).numpy(), here.summed(x)), n


def test_unasked_a_buffer_takes_half_of_what_a_card_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = make_spec(num_seeds=2)
    stream = Streams([0, 1])["replay"]
    assert not Replay(spec, 100, stream).on_device  # no card
    size = Replay(spec, 100, stream).nbytes
    for free, fits in ((2 * size, True), (2 * size - 1, False)):
        monkeypatch.setattr(arrays, "free_there", lambda device, free=free: free)
        monkeypatch.setattr(ring, "free_there", lambda device, free=free: free)
        assert Replay(spec, 100, stream).on_device == fits
        assert Replay(spec._replace(replay="device"), 100, stream).on_device
        assert not Replay(spec._replace(replay="host"), 100, stream).on_device
    monkeypatch.setattr(ring, "free_there", lambda device: size)
    with pytest.raises(NoMemory, match=r"needs .* of the card's memory, and .* are free; lower capacity") as told:
        Replay(spec._replace(replay="device"), 100, stream)
    assert (told.value.nbytes, told.value.capacity, told.value.on_card) == (size, 100, size)


def test_what_does_not_fit_is_refused() -> None:
    spec = make_spec(num_envs=4)
    stream = Streams([0])["replay"]
    with pytest.raises(ValueError, match="empty"):
        Replay(spec, 8, stream).sample(1)
    with pytest.raises(ValueError, match="capacity 3 is too small for 4 envs"):
        Replay(spec, 3, stream)
    for capacity, n_step in ((11, 3), (8, 0), (8, 10**9)):
        with pytest.raises(ValueError, match=f"n_step {n_step} does not fit into capacity {capacity}"):
            Replay(spec, capacity, stream, n_step=n_step)
    with pytest.raises(ValueError, match="float32"):
        Replay(make_spec(num_obs=2**24 + 1), 8, stream)
    state = filled(spec, 16, 6, [0]).state_dict()
    for capacity in (8, 12, 20, 40):  # of a full ring only one of the same size can go on
        with pytest.raises(ValueError, match="saved replay"):
            Replay(spec, capacity, stream).load_state_dict(state)
    with pytest.raises(ValueError, match="saved replay"):
        Replay(make_spec((5,), num_envs=4), 16, stream).load_state_dict(state)


def test_ten_thousand_cartpole_transitions_stay_small() -> None:
    replay = filled(make_spec(num_seeds=2), 10_000, 3, [0, 1])
    arrays = [x for x in vars(replay).values() if isinstance(x, np.ndarray) and x.base is None]
    assert 10_000 * 44 < sum(x.nbytes for x in arrays) / 2 < 8_000_000 / 10  # a tenth of what was promised
    tracemalloc.start()
    for transition in random_transitions(make_spec(num_seeds=2), 200):
        replay.add(transition)
    assert tracemalloc.get_traced_memory()[0] < 100_000  # nothing is kept in Python objects beside it
    tracemalloc.stop()
