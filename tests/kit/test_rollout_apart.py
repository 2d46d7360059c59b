"""A rollout that keeps next observations apart, as on a device: what the other one gives, and nobody waits for it."""

from typing import Any

import numpy as np
import pytest
import torch
from cards import never_waiting
from test_rollout import EXTRA, KINDS, SEEDS, STEPS, happened, spec_of, told
from torch import Tensor

from rlbench import Rollout
from rlbench.replay import minibatches
from rlbench.rng import Streams
from rlbench.types import Spec

EVERY = pytest.mark.parametrize("kind", KINDS)


def both(spec: Spec, steps: int = STEPS, **options: Any) -> tuple[Rollout, Rollout]:
    """The same steps in a rollout of either kind."""
    host, apart = Rollout(spec, STEPS, EXTRA), Rollout(spec, STEPS, EXTRA, apart=True)
    for transition in happened(spec, steps, SEEDS, **options):
        host.add(transition)
        with never_waiting():
            apart.add(transition)
    return host, apart


def same(a: Any, b: Any) -> bool:
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) and a.dtype == b.dtype if isinstance(a, Tensor) else bool(a == b)


@EVERY
@pytest.mark.parametrize("end", [0.0, 0.3, 1.0])
def test_it_gives_what_the_other_one_gives(kind: str, end: float) -> None:
    host, apart = both(spec_of(kind), end=end)
    for name in ("obs", "action", "reward", "terminated", "truncated"):
        assert same(getattr(host, name), getattr(apart, name)), name
    assert same(host.next_obs(), apart.next_obs())
    value = told(host.obs).float() + 0.25

    def value_of(obs: Tensor) -> Tensor:
        return told(obs.unsqueeze(2)).squeeze(2).float() + 0.25

    for parts in (1, 3, 14):
        with never_waiting():
            found = apart.next_value(value_of, value, parts)
        assert same(host.next_value(value_of, value, parts), found)


def test_within_an_episode_the_values_are_those_that_were_given() -> None:
    """They are not computed again in batches of another size, which would round them otherwise."""
    host, apart = both(spec_of("vector"))
    value = torch.rand(3, STEPS, 2)
    found = [x.next_value(lambda obs: -obs[..., 0], value) for x in (host, apart)]
    assert same(*found)
    assert (found[0] > 0).any()
    assert (found[0] < 0).any()


@EVERY
@pytest.mark.parametrize("steps", [0, 1, 4, STEPS])
def test_either_goes_on_from_what_the_other_saved(kind: str, steps: int) -> None:
    spec = spec_of(kind)
    host, apart = both(spec, steps)
    one, two = host.state_dict(), apart.state_dict()
    assert one.keys() == two.keys()
    assert all(same(one[name], two[name]) for name in one)
    rest = list(happened(spec, STEPS - steps, [9, 9, 9]))
    for state in (one, two):
        for how in (False, True):
            rollout = Rollout(spec, STEPS, EXTRA, apart=how)
            rollout.load_state_dict(state)
            again = rollout.state_dict()
            assert all(same(again[name], one[name]) for name in one)
            for transition in rest:
                rollout.add(transition)
            assert rollout.full
            known = max(0, steps - 1)  # the newest one was to be followed by what it led to, and is not here
            assert same(rollout.next_obs()[:, :known], host.next_obs()[:, :known])


def test_a_cut_keeps_what_the_newest_step_led_to() -> None:
    spec = spec_of("vector")
    host, apart = (Rollout(spec, STEPS, EXTRA, apart=how) for how in (False, True))
    where = np.array([[True, False], [True, True], [False, False]])
    for i, transition in enumerate(happened(spec, STEPS, SEEDS)):
        for rollout in (host, apart):
            if i == 4:
                rollout.cut(where)
            moved = transition._replace(obs=transition.obs + 300) if i == 4 else transition
            rollout.add(moved._replace(extras=transition.extras))
    where_cut = torch.from_numpy(where)
    assert same(host.truncated, apart.truncated)
    assert apart.truncated[:, 3][where_cut].all()
    assert same(host.next_obs()[:, 3][where_cut], apart.next_obs()[:, 3][where_cut])


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("gathered", [1, 2**22])
def test_minibatches_are_dealt_out_as_those_of_the_other(
    count: int, gathered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minibatches, "_GATHERED", gathered)
    dealt = [
        list(rollout.minibatches(count, Streams(SEEDS)["replay"], more=rollout.reward))
        for rollout in both(spec_of("vector"))
    ]
    for one, two in zip(*dealt, strict=True):
        assert same(one.obs, two.obs)
        assert same(one.action, two.action)
        assert all(same(x, two.extras[name]) for name, x in one.extras.items())


def test_what_it_costs() -> None:
    host, apart = both(spec_of("image"))
    assert apart.nbytes - host.nbytes == 3 * (STEPS - 1) * 2 * 4  # one byte for each of 4 pixels
