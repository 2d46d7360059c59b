"""Sequences out of a buffer against a naive search of it; unrolling a GRU against autograd, step by step."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from cards import Recorded, never_waiting
from conftest import make_spec
from torch import Tensor

from rlbench import Transition, nn
from rlbench.replay import SequenceReplay, Sequences
from rlbench.rng import Streams
from rlbench.types import Extra

GAMMA = 0.5


def filled(
    steps: int, *, seeds: tuple[int, ...] = (5, 6), envs: int = 2, n_step: int = 1, length: int = 4, where: str = "host"
) -> Any:
    """A buffer of 9 steps an env, in which entry t of env e of seed s has the number 1000 s + 10 t + e everywhere, and
    the list of all that went in. Episodes end at every fifth step, by termination and by a time limit in turns."""
    masks = {"action_mask": Extra((2,), torch.bool)}
    spec = make_spec((1,), num_seeds=len(seeds), num_envs=envs, extras=masks, replay=where)
    replay = SequenceReplay(
        spec, 9 * envs, Streams(seeds)["replay"], memory=3, length=length, gamma=GAMMA, n_step=n_step
    )
    log = []
    for t in range(steps):
        ids = torch.tensor([[1000.0 * s + 10 * t + e for e in range(envs)] for s in seeds])
        end, limit = t % 5 == 4, t % 10 == 9
        over, cut = (torch.full_like(ids, which, dtype=torch.bool) for which in (end and not limit, end and limit))
        mask = torch.stack([ids % 2 == 0, ids % 3 == 0], -1)
        obs, said = ids[..., None], {"action_mask": mask}
        more = {"memory": obs.expand(*ids.shape, 3), **said}
        transition = Transition(obs, ids.long() % 2, ids, obs + 10, over, cut, extras=more, next_extras=said)
        replay.add(transition)
        log.append(transition)
    return replay, log


@pytest.mark.parametrize("n_step", [1, 2, 3, 6])
@pytest.mark.parametrize("steps", [4, 7, 9, 23])
@pytest.mark.parametrize("where", ["host", "device"])
def test_sequences_are_what_happened(where: str, steps: int, n_step: int) -> None:
    replay, log = filled(steps, n_step=n_step, where=where)
    drawn = replay.sequences(300)
    starts = set()
    for s, b in np.ndindex(2, 300):
        first = int(drawn.obs[s, 0, b, 0])
        t0, e = first % 1000 // 10, first % 10
        starts.add((t0, e))
        assert drawn.memory[s, b].tolist() == [first] * 3
        window = log[t0 : t0 + 4]
        assert [float(t.obs[s, e, 0]) for t in window] == drawn.obs[s, :, b, 0].tolist()
        assert [float(t.next_obs[s, e, 0]) for t in window] == drawn.next_obs[s, :, b, 0].tolist()
        assert [int(t.action[s, e]) for t in window] == drawn.action[s, :, b].tolist()
        ended = [bool(t.terminated[s, e] | t.truncated[s, e]) for t in window]
        assert [False, *ended[:-1]] == drawn.fresh[s, :, b].tolist()
        masks = torch.stack([t.next_extras["action_mask"][s, e] for t in window])
        assert torch.equal(masks, drawn.next_extras["action_mask"][s, :, b])
        for i in range(4):
            total, k = 0.0, 0
            while True:
                total += GAMMA**k * float(window[i + k].reward[s, e])
                k += 1
                if k == n_step or i + k == 4 or ended[i + k - 1]:
                    break
            assert float(drawn.reward[s, i, b]) == pytest.approx(total)
            assert int(drawn.last[s, i, b]) == i + k - 1
            death = bool(window[i + k - 1].terminated[s, e])
            assert float(drawn.discount[s, i, b]) == (0.0 if death else GAMMA**k)
    oldest = max(0, steps - 9)
    assert starts == {(t, e) for t in range(oldest, steps - 3) for e in range(2)}  # each, and none over the seam


def equal(one: Sequences, other: Sequences) -> None:
    for name, a, b in zip(Sequences._fields[:-1], one, other, strict=False):
        assert torch.equal(a, b), name
    assert torch.equal(one.next_extras["action_mask"], other.next_extras["action_mask"])


@pytest.mark.parametrize("n_step", [1, 3])
def test_sequences_are_the_same_ones_wherever_the_buffer_lies(n_step: int) -> None:
    """Drawn without waiting, by operations that can be recorded once; what one has saved the other takes over."""
    (here, _), (there, log) = filled(4, n_step=n_step), filled(4, n_step=n_step, where="device")
    assert there.on_device
    equal(here.sequences(7), there.sequences(7))

    def drawn(u: Tensor) -> tuple[Tensor, ...]:
        *leaves, said = there.sequences_at(u)
        return (*leaves, said["action_mask"])

    graph = Recorded(drawn, torch.device("cpu"))
    _, log = filled(30)
    for i, t in enumerate(log):
        here.add(t)
        with never_waiting():
            there.add(t)
        *leaves, mask = graph(there.shares(7))
        equal(here.sequences(7), Sequences(*leaves, {"action_mask": mask}))
        if i == 9:
            held = copy.deepcopy(here.state_dict()), copy.deepcopy(there.state_dict())
            there.load_state_dict(held[0])
            here.load_state_dict(held[1])
    assert graph.repeated == 27


def test_seeds_draw_as_if_alone() -> None:
    (both, _), (alone, _) = filled(15), filled(15, seeds=(6,))
    for one, two in zip(alone.sequences(7)[:-1], both.sequences(7)[:-1], strict=True):
        assert torch.equal(one[0], two[1])


def test_a_buffer_comes_back_with_what_was_remembered() -> None:
    replay, _ = filled(12)
    twin, _ = filled(0)
    twin.load_state_dict(replay.state_dict())
    twin.stream.load_state_dict(replay.stream.state_dict()) if hasattr(twin.stream, "load_state_dict") else None
    one, other = twin.sequences(50), replay.sequences(50)
    assert torch.equal(one.memory, other.memory)
    assert torch.equal(one.obs, other.obs)
    assert replay.nbytes > replay._rows.nbytes + replay._memory.nbytes


def test_what_is_wrong_is_said() -> None:
    replay, log = filled(3)
    assert not replay.ready
    with pytest.raises(ValueError, match="cannot draw sequences of 4 steps from 3"):
        replay.sequences(2)
    with pytest.raises(ValueError, match=r'no extras\["memory"\]'):
        replay.add(Transition(*log[0]))
    with pytest.raises(ValueError, match="sequences of 10 steps do not fit into capacity 18, which holds 9 steps"):
        filled(0, length=10)


SIZES = [(3, 4, 5, 7), (1, 1, 1, 1), (2, 3, 1, 8), (5, 1, 3, 2), (6, 5, 33, 17)]


def naive(cell: nn.GRUCell, x: Tensor, h: Tensor, fresh: Tensor) -> Tensor:
    steps = []
    for t in range(x.shape[1]):
        h = cell(x[:, t], h * (~fresh[:, t]).unsqueeze(-1))
        steps.append(h)
    return torch.stack(steps, 1)


@pytest.mark.parametrize(("n_in", "length", "rows", "size"), SIZES)
def test_unrolled_it_is_the_cell_step_by_step(n_in: int, length: int, rows: int, size: int) -> None:
    cell = nn.GRUCell(n_in, size, Streams([1, 2])["init"])
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, length, rows, n_in, generator=random, requires_grad=True)
    h = torch.randn(2, rows, size, generator=random)
    fresh = torch.rand(2, length, rows, generator=random) < 0.3
    upstream = torch.randn(2, length, rows, size, generator=random)
    expected = naive(cell, x, h, fresh)
    at_x, *at_params = torch.autograd.grad((expected * upstream).sum(), [x, *cell.parameters()])
    with torch.no_grad():
        out, pull = cell.unroll(x.detach(), h, fresh)
        grads = [torch.full_like(p, 9.0) for p in cell.parameters()]
        back = pull(upstream, grads)
        plain, _ = cell.unroll(x.detach(), h)
        torch.testing.assert_close(plain, naive(cell, x, h, torch.zeros_like(fresh)), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(back, at_x, atol=1e-5, rtol=1e-4)
    for grad, wanted in zip(grads, at_params, strict=True):
        torch.testing.assert_close(grad, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("n_in", "length", "rows", "size"), SIZES)
def test_width_of_networks_with_memory(n_in: int, length: int, rows: int, size: int) -> None:
    """Seed 8 alone and among 7 and 9, to the last bit, forward and back."""
    random = torch.Generator().manual_seed(1)
    obs = torch.randn(3, length, rows, n_in, generator=random)
    h = torch.randn(3, rows, size, generator=random)
    fresh = torch.rand(3, length, rows, generator=random) < 0.3
    upstream = torch.randn(3, length, rows, 4, generator=random)
    results = []
    for seeds, pick in (([7, 8, 9], slice(0, 3)), ([8], slice(1, 2))):
        init = Streams(seeds)["init"]
        body = nn.network(make_spec((n_in,), num_seeds=len(seeds)), (), size, init)
        net = nn.Remembering(body, nn.GRUCell(size, size, init), 4, init).requires_grad_(False)
        flat = nn.Flat(net)
        out, remembered, pull = net.vjp(obs[pick], h[pick], fresh[pick])
        pull(upstream[pick], flat.grads)
        one, new = net.forward(obs[pick][:, 0], h[pick] * (~fresh[pick][:, 0]).unsqueeze(-1))
        torch.testing.assert_close(one, out[:, 0], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(new, remembered[:, 0], atol=1e-6, rtol=1e-5)
        row = 1 if len(seeds) == 3 else 0
        results.append([leaf[row] for leaf in (out, remembered, flat.grad, one, new)])
    for among, alone in zip(*results, strict=True):
        assert torch.equal(among, alone)


def test_the_way_back_through_a_whole_network() -> None:
    init = Streams([1, 2])["init"]
    net = nn.Remembering(nn.network(make_spec((3,), num_seeds=2), (5,), 6, init), nn.GRUCell(6, 4, init), 2, init)
    random = torch.Generator().manual_seed(0)
    obs, h = torch.randn(2, 4, 3, 3, generator=random), torch.randn(2, 3, 4, generator=random)
    upstream = torch.randn(2, 4, 3, 2, generator=random)
    state, outs = h, []
    for t in range(4):
        out, state = net(obs[:, t], state)
        outs.append(out)
    wanted = torch.autograd.grad((torch.stack(outs, 1) * upstream).sum(), list(net.parameters()))
    flat = nn.Flat(net)
    with torch.no_grad():
        _, _, pull = net.vjp(obs, h)
        pull(upstream, flat.grads)
    for grad, true in zip(flat.grads, wanted, strict=True):
        torch.testing.assert_close(grad, true, atol=1e-5, rtol=1e-4)
