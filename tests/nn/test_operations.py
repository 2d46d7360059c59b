"""The table of torch's operations: what it calls safe is so on this machine, and what it offers instead is the same."""

import math

import pytest
import torch
from command import succeeds
from torch import Tensor
from torch.nn import functional as F

from rlbench import functional, nn
from rlbench.nn.operations import OPERATIONS, Operation
from rlbench.nn.strays import Function, shapes, strays
from rlbench.optim import Adam
from rlbench.rng import Streams

SAFE = [operation for operation in OPERATIONS if not operation.instead]
UNSAFE = [operation for operation in OPERATIONS if operation.instead]


def named(operation: Operation) -> str:
    return operation.name


@pytest.mark.parametrize("operation", SAFE, ids=named)
def test_what_is_called_safe_keeps_width(operation: Operation) -> None:
    """A new torch, or another CPU, that breaks this breaks agents as well: then the table has to say so."""
    found = strays(operation.function, shapes())
    assert (found.forward, found.gradient) == ((), ())


@pytest.mark.parametrize("operation", UNSAFE, ids=named)
def test_what_is_offered_instead_is_the_same_and_keeps_width(operation: Operation) -> None:
    assert operation.substitute is not None
    found = strays(operation.substitute, shapes())
    assert (found.forward, found.gradient) == ((), ())
    x = torch.linspace(-3, 3, 2 * 5 * 7).view(2, 5, 7)
    torch.testing.assert_close(operation.substitute(x), operation.function(x), rtol=1e-5, atol=1e-6)


def test_the_table_has_what_agents_use_and_each_once() -> None:
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)
    assert {"torch.tanh(x)", "F.logsigmoid(x)", "F.log_softmax(x, -1)", "nn.Linear"} <= {named(o) for o in SAFE}
    assert {"torch.sigmoid(x)", "F.softplus(x)", "F.silu(x)", "x.double().var(1)"} <= {named(o) for o in UNSAFE}


def test_what_depends_on_the_others_is_found_forward_and_back() -> None:
    def leaks(x: Tensor) -> Tensor:
        return x + 2.0**-20 * (len(x) > 1)

    def leaks_back(x: Tensor) -> Tensor:
        return x.detach() + (x - x.detach()) * (1 + 2.0**-20 * (len(x) > 1))

    tried = shapes((3, 50))
    assert tried == [(3, 1), (3, 3), (5, 3), (50, 1), (50, 3), (5, 50)]
    assert strays(leaks, tried) == (tuple(tried), (), 6)
    found = strays(leaks_back, tried)
    assert (found.forward, found.gradient) == ((), tuple(tried))
    assert strays(lambda x: x / 0, tried) == ((), (), 6)  # what is not a number equals itself


def soft_learner(softplus: Function, seeds: list[int], batch: int) -> Tensor:
    """Weights (S, P) of actors and critics of ``seeds`` after some steps as in SAC, from batches of ``batch`` rows.

    A squashed normal and an entropy in the target (Haarnoja et al. 2018, arXiv:1801.01290, eq. 3 and appendix C).
    """
    streams = Streams(seeds)
    actor, critic = (
        nn.Network([nn.Linear(3, 20, streams["init"]), nn.Tanh(), nn.Linear(20, n, streams["init"])]) for n in (4, 2)
    )
    both = nn.Flat(torch.nn.ModuleList([actor, critic]))
    adam = Adam(both.data, 0.01)
    for _ in range(10):
        obs = streams["replay"].uniform(3 * batch).view(len(seeds), batch, 3).float()
        noise = streams["explore"].normal(2 * batch).view(len(seeds), batch, 2).float()
        mean, log_std = actor(obs).chunk(2, -1)  # (S, B, 2)
        raw = mean + log_std.exp() * noise
        log_prob = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
        log_prob = (log_prob - 2 * (math.log(2) - raw - softplus(-2 * raw))).sum(-1)  # (S, B)
        reward = -(torch.tanh(raw) - 0.3).square().sum(-1)
        error = critic(obs).mean(-1) - (reward - 0.2 * log_prob).detach()
        adam.step(both.gradient((0.2 * log_prob - reward + error.square()).mean(1).sum()))
    return both.data


def alike(softplus: Function, batch: int) -> bool:
    """Whether each of three seeds learns the same alone and among them, to the last bit."""
    together = soft_learner(softplus, [0, 1, 2], batch)
    return all(torch.equal(together[s], soft_learner(softplus, [s], batch)[0]) for s in range(3))


def test_a_soft_actor_critic_keeps_width_with_our_softplus_and_not_with_torchs() -> None:
    ours, torchs = (soft_learner(softplus, [0, 1], 50) for softplus in (functional.softplus, F.softplus))
    torch.testing.assert_close(ours, torchs, rtol=1e-3, atol=1e-4)
    assert all(alike(functional.softplus, batch) for batch in (33, 50))
    assert alike(F.softplus, 64)  # a multiple of 16 hides what the next one shows
    if strays(F.softplus, [(50, 2)]) != ((), (), 1):  # on CPUs without vectors, torch's is as good
        assert not alike(F.softplus, 50)


def test_the_command_prints_what_it_found() -> None:
    lines = succeeds("list", "operations").splitlines()
    assert lines[0].startswith(f"torch {torch.__version__} on {torch.backends.cpu.get_cpu_capability()}")
    rows = {line[:43].strip(): line[43:] for line in lines[4:]}
    assert list(rows) == [operation.name for operation in OPERATIONS]
    assert rows["torch.tanh(x)"].split() == ["kept", "kept"]
    strayed = strays(torch.sigmoid, shapes())
    counts = [str(len(part)) if part else "kept" for part in strayed[:2]]
    assert rows["torch.sigmoid(x)"].split() == [*counts, "functional.sigmoid(x)"]
