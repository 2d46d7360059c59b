"""Tests of the rollout buffer: every observation tells which it is, and what is read off is what was put in."""

import copy
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_spec
from torch import Tensor

from rlbench import Rollout
from rlbench.agent_state import join, pick, split, widen
from rlbench.replay import minibatches
from rlbench.rng import Stream, Streams
from rlbench.types import Extra, Spec, Transition

STEPS, SEEDS = 7, [3, 8, 5]
KINDS: dict[str, dict[str, Any]] = {
    "vector": {"obs_shape": (3,)},
    "image": {"obs_shape": (2, 2), "obs_dtype": torch.uint8},
    "index": {"num_obs": 100_000},
    "continuous": {"obs_shape": (), "num_actions": None, "action_shape": (2, 2)},
    "several": {"obs_shape": (3,), "num_actions": None, "action_shape": (2,), "action_sizes": (200, 200)},
}
EXTRA = {"value": (), "raw": (2,), "mask": Extra((3,), torch.bool)}


def shown(ids: Tensor, spec: Spec) -> Tensor:
    """Observations with these numbers, (S, E) below 256."""
    return ids.view(*ids.shape, *[1] * len(spec.obs_shape)).expand(*ids.shape, *spec.obs_shape).to(spec.obs_dtype)


def told(obs: Tensor) -> Tensor:
    """The numbers of observations."""
    return obs.flatten(3)[..., 0].long() if obs.dim() > 3 else obs.long()


def happened(spec: Spec, steps: int, seeds: list[int], *, end: float = 0.3) -> Iterator[Transition]:
    """Steps whose numbers count up within an episode; another episode begins at a number that its seed draws."""
    rngs = [np.random.default_rng(seed) for seed in seeds]

    def drawn(high: int) -> Tensor:
        return torch.from_numpy(np.stack([rng.integers(0, high, spec.num_envs) for rng in rngs]))

    now = drawn(200)
    for _ in range(steps):
        fate = drawn(1000).double() / 1000
        terminated, truncated = fate < end / 2, (fate > end / 4) & (fate < end)  # some are both
        number = drawn(99).view(*now.shape, *[1] * len(spec.action_shape))
        action = number.expand(*now.shape, *spec.action_shape).to(spec.action_dtype)
        extras = {
            "value": now * 0.5,
            "raw": torch.stack([now, -now], -1).float(),
            "mask": torch.stack([now > 99] * 3, -1),
        }
        more = {**extras, "spare": now}
        yield Transition(shown(now, spec), action, now * 1.0, shown(now + 1, spec), terminated, truncated, extras=more)
        now = torch.where(terminated | truncated, drawn(200), now + 1)


def filled(
    spec: Spec, seeds: list[int] = SEEDS, steps: int = STEPS, **options: Any
) -> tuple[Rollout, list[Transition]]:
    rollout, kept = Rollout(spec, STEPS, EXTRA), []
    for transition in happened(spec, steps, seeds, **options):
        rollout.add(transition)
        kept.append(transition)
    return rollout, kept


def spec_of(kind: str, seeds: int = 3, envs: int = 2) -> Spec:
    return make_spec(**KINDS[kind], num_seeds=seeds, num_envs=envs)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_put_in_is_there_in_order(kind: str) -> None:
    rollout, kept = filled(spec_of(kind))
    assert rollout.full
    assert len(rollout) == rollout.capacity == 14
    for name in ("obs", "action", "reward", "terminated", "truncated"):
        column, oracle = getattr(rollout, name), torch.stack([getattr(t, name) for t in kept], 1)
        assert torch.equal(column, oracle), name
        assert column.dtype == oracle.dtype
    for name in EXTRA:
        assert torch.equal(rollout.extras[name], torch.stack([t.extras[name] for t in kept], 1)), name
    assert rollout.extras["mask"].dtype == torch.bool
    assert set(rollout.extras) == set(EXTRA)
    assert torch.equal(rollout.next_obs(), torch.stack([t.next_obs for t in kept], 1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", [0.0, 0.3, 1.0])
def test_next_values_are_those_of_what_truly_followed(kind: str, end: float) -> None:
    spec = spec_of(kind)
    rollout, kept = filled(spec, end=end)
    sizes = []

    def value_of(obs: Tensor) -> Tensor:
        sizes.append(obs.shape[:2])
        return told(obs.unsqueeze(2)).squeeze(2).float() + 0.25

    value = told(rollout.obs).float() + 0.25
    expected = torch.stack([told(t.next_obs.unsqueeze(2)).squeeze(2) + 0.25 for t in kept], 1)
    found = rollout.next_value(value_of, value)
    assert torch.equal(found, torch.where(rollout.terminated, 0.0, expected))
    assert set(sizes) == {(3, 2)}  # never as many rows as some seed happens to need
    if end == 0.0:
        assert len(sizes) == 1


def test_a_cut_ends_the_episode_of_the_newest_step() -> None:
    spec = spec_of("vector")
    rollout = Rollout(spec, STEPS, EXTRA)
    rollout.cut(np.ones((3, 2), bool))  # of nothing
    steps = list(happened(spec, STEPS, SEEDS, end=0.4))
    where = np.array([[True, False], [True, True], [False, False]])
    for i, transition in enumerate(steps):
        if i in (3, 6):
            now = transition.obs + 300  # another episode, elsewhere
            cut = torch.from_numpy(where).unsqueeze(-1)
            transition = transition._replace(obs=torch.where(cut, now, transition.obs))
            transition.extras = steps[i].extras
            rollout.cut(where)
        rollout.add(transition)
    rollout.cut(where)
    for i in (2, 5, 6):
        own = torch.from_numpy(where) | steps[i].truncated
        assert torch.equal(rollout.truncated[:, i], own)
        assert torch.equal(rollout.terminated[:, i], steps[i].terminated)
    assert torch.equal(rollout.next_obs(), torch.stack([t.next_obs for t in steps], 1))
    value = rollout.obs[..., 0] * 2
    expected = torch.stack([t.next_obs[..., 0] * 2 for t in steps], 1)
    found = rollout.next_value(lambda obs: obs[..., 0] * 2, value)
    assert torch.equal(found, torch.where(rollout.terminated, 0.0, expected))


@pytest.mark.parametrize("count", [1, 3, 4, 14])
@pytest.mark.parametrize("kind", KINDS)
def test_minibatches_hold_every_step_once(kind: str, count: int) -> None:
    rollout, _ = filled(spec_of(kind))
    place = torch.arange(3 * 14).view(3, STEPS, 2)
    stream = Stream(SEEDS, "x")
    parts = list(rollout.minibatches(count, stream, place=place))
    assert stream.position == (14 if count > 1 else 0)
    sizes = [len(part.extras["place"][0]) for part in parts]
    assert (len(sizes), sum(sizes), max(sizes) - min(sizes) <= 1) == (count, 14, True)
    order = torch.cat([part.extras["place"] for part in parts], 1)  # (S, 14)
    assert torch.equal(order.sort(1)[0], torch.arange(42).view(3, 14))  # each seed its own, and each of them once
    assert len({tuple((row % 14).tolist()) for row in order}) == (3 if count > 1 else 1)
    for part in parts:
        at = part.extras["place"].flatten()
        assert set(part.extras) == {*EXTRA, "place"}
        whole = {"obs": rollout.obs, "action": rollout.action, **{f"extras.{n}": x for n, x in rollout.extras.items()}}
        for name, column in whole.items():
            got = part.extras[name[7:]] if name.startswith("extras.") else getattr(part, name)
            assert torch.equal(got.flatten(0, 1), column.flatten(0, 2)[at]), name
            assert got.dtype == column.dtype


@pytest.mark.parametrize("count", [1, 4, 14])
@pytest.mark.parametrize("kind", KINDS)
def test_minibatches_are_the_same_however_many_are_picked_out_at_once(
    kind: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout, _ = filled(spec_of(kind))
    other = rollout.obs.float() * 2
    whole, doubled = (list(rollout.minibatches(count, Stream(SEEDS, "x"), obs)) for obs in (None, other))
    monkeypatch.setattr(minibatches, "_GATHERED", 1)
    apart = list(rollout.minibatches(count, Stream(SEEDS, "x")))
    for one, same, twice in zip(whole, apart, doubled, strict=True):
        assert torch.equal(one.obs, same.obs)
        assert torch.equal(one.action, same.action)
        assert all(torch.equal(one.extras[name], same.extras[name]) for name in EXTRA)
        assert torch.equal(twice.obs, one.obs.float() * 2)  # observations in another form, of the same steps
        assert torch.equal(twice.action, one.action)


@pytest.mark.parametrize("steps", [0, 1, 4, STEPS])
@pytest.mark.parametrize("kind", KINDS)
def test_a_restored_rollout_goes_on_the_same(kind: str, steps: int) -> None:
    spec = spec_of(kind)
    transitions = list(happened(spec, 2 * STEPS, SEEDS))
    old, new = Rollout(spec, STEPS, EXTRA), Rollout(spec, STEPS, EXTRA)
    for transition in transitions[:STEPS]:  # a whole one before, whose traces must not count
        old.add(transition)
    old.clear()
    assert (len(old), old.full) == (0, False)
    for transition in transitions[:steps]:
        old.add(transition)
    file = io.BytesIO()
    torch.save(old.state_dict(), file)
    per_step = old.nbytes // STEPS
    assert file.tell() < per_step * (steps + 3) + 40_000  # what is not there takes no room
    file.seek(0)
    state = torch.load(file, weights_only=True)
    new.load_state_dict(state)
    for name, leaf in state.items():
        if name != "filled":
            for x in leaf:
                x.zero_()  # the rollout has copied
    for transition in transitions[steps:STEPS]:
        old.add(transition)
        new.add(transition)
    for one, other in ((old.obs, new.obs), (old.next_obs(), new.next_obs()), (old.truncated, new.truncated)):
        assert torch.equal(one, other)
    value = old.extras["value"]
    assert torch.equal(*(x.next_value(lambda obs: torch.ones(obs.shape[:2]), value) for x in (old, new)))


def test_a_seed_alone_holds_what_it_holds_among_others() -> None:
    together, _ = filled(spec_of("vector"))
    for s, seed in enumerate(SEEDS):
        alone, _ = filled(spec_of("vector", 1), [seed])
        picked, own = pick(together.state_dict(), s, 3), alone.state_dict()
        assert picked.keys() == own.keys()
        for name, value in own.items():
            assert value == picked[name] if name == "filled" else torch.equal(value[0], picked[name][0]), name
        streams = (Stream(SEEDS, "x"), Stream([seed], "x"))
        for one, other in zip(together.minibatches(3, streams[0]), alone.minibatches(3, streams[1]), strict=True):
            assert torch.equal(one.obs[s], other.obs[0])


def test_seeds_are_taken_out_and_put_together_as_those_of_other_buffers() -> None:
    whole, _ = filled(spec_of("vector"), steps=5)
    parts = [filled(spec_of("vector", n), seeds, 5)[0] for seeds, n in ((SEEDS[:2], 2), (SEEDS[2:], 1))]
    joined = Rollout(spec_of("vector"), STEPS, EXTRA)
    joined.load_state_dict(join([part.state_dict() for part in parts], [2, 1]))
    assert torch.equal(joined.next_obs(), whole.next_obs())
    kept, rest = split(whole.state_dict(), Rollout(spec_of("vector", 2), STEPS, EXTRA).state_dict(), [0, 2], 3)
    narrow = Rollout(spec_of("vector", 2), STEPS, EXTRA)
    narrow.load_state_dict(copy.deepcopy(kept))
    assert torch.equal(narrow.next_obs()[:, :5], whole.next_obs()[[0, 2], :5])
    again = Rollout(spec_of("vector"), STEPS, EXTRA)
    again.load_state_dict(widen(narrow.state_dict(), rest, [0, 2], 3))
    assert torch.equal(again.next_obs()[[0, 2], :5], whole.next_obs()[[0, 2], :5])


def test_what_does_not_fit_is_refused() -> None:
    spec = spec_of("vector")
    rollout, kept = filled(spec)
    with pytest.raises(ValueError, match=r"full with 7 steps.*clear\(\)"):
        rollout.add(kept[0])
    with pytest.raises(ValueError, match="1 step or more, not 0"):
        Rollout(spec, 0)
    with pytest.raises(ValueError, match=r"no 'other', .*it has 'value', 'raw', 'mask', 'spare'"):
        Rollout(spec, 3, {"other": ()}).add(kept[0])
    with pytest.raises(
        ValueError, match=r"extras\['value'\] has shape \(.*\) where the rollout was made for \(.*, 5\)"
    ):
        Rollout(spec, 3, {"value": (5,)}).add(kept[0])
    with pytest.raises(ValueError, match="15 minibatches of a rollout of 14 steps: choose 1 to 14"):
        next(rollout.minibatches(15, Streams(SEEDS)["x"]))
    half, _ = filled(spec, steps=4)
    with pytest.raises(ValueError, match="4 of 7 steps: there are no minibatches"):
        next(half.minibatches(2, Streams(SEEDS)["x"]))
    with pytest.raises(ValueError, match="4 of 7 steps: there is no next value"):
        half.next_value(lambda obs: obs[..., 0], half.reward)
    state = rollout.state_dict()
    for other in (
        Rollout(spec, 6, EXTRA),
        Rollout(spec_of("vector", 2), 7, EXTRA),
        Rollout(spec_of("image"), 7, EXTRA),
    ):
        with pytest.raises(ValueError, match="a saved rollout"):
            other.load_state_dict(state)
    with pytest.raises(ValueError, match=r"nothing of extras\.more"):
        Rollout(spec, 7, {**EXTRA, "more": ()}).load_state_dict(state)


def test_it_says_how_large_it_becomes() -> None:
    rollout = Rollout(make_spec((4,), num_seeds=3, num_envs=2), 10, {"value": (), "raw": (2,)})
    step = 4 * 4 + 8 + 4 + 2 + 4 + 8  # obs, action, reward, flags, value, raw
    assert (rollout.capacity, rollout.nbytes) == (20, 3 * 2 * (10 * step + 16))  # and one more observation
