"""What holds of every world: its operations have one result, laid down, and it knows nothing of its neighbours."""

import collections
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from rlbench.border.make import env_maker
from rlbench.worlds.cartpole import CartPole
from rlbench.worlds.known import IDS, world_of
from rlbench.worlds.world import World

# One result for all devices: each rounds once as IEEE 754 says, or does not round.
COMPUTE = {
    "add", "sub", "rsub", "mul", "div", "neg", "abs", "sign", "round", "floor", "trunc", "clamp", "minimum", "maximum",
    "eq", "lt", "le", "gt", "ge", "bitwise_and", "bitwise_or", "where", "any", "sum", "stack", "cat", "index_select",
    "_to_copy", "clone",
}  # fmt: skip
VIEWS = {
    "slice", "select", "unbind", "permute", "transpose", "t", "expand", "view", "_unsafe_view", "unsqueeze", "alias",
    "detach", "lift_fresh",
}  # fmt: skip
ROWS = 41


class Laid(TorchDispatchMode):
    """Fails at an operation that two devices may do in two ways; counts those that write."""

    def __init__(self) -> None:
        super().__init__()
        self.done: collections.Counter[str] = collections.Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        assert name in COMPUTE | VIEWS, f"{func} is none of the operations that give one result everywhere"
        if name in COMPUTE:
            self.done[name] += 1
        if name == "div":  # a card multiplies by the reciprocal of a number that lies on the host
            assert isinstance(args[1], Tensor)
            assert args[1].dim() > 0
            assert not kwargs
        if name in ("add", "sub", "rsub"):  # with another alpha a card may add and multiply as one
            assert kwargs.get("alpha", 1) == 1
            assert len(args) == 2
        if name == "sum":  # in what order, is nobody's promise: of whole numbers it is all the same
            assert not args[0].dtype.is_floating_point
        if name == "_to_copy":
            assert kwargs.get("device") is None
        for tensor in (*args, *(args[0] if name in ("stack", "cat") else ())):
            assert not isinstance(tensor, Tensor) or tensor.device == torch.device("cpu")
        return func(*args, **kwargs)


def world(env_id: str, **kwargs: Any) -> World:
    found = world_of(env_maker(env_id, kwargs, wants=("action_mask",)))
    assert found is not None
    return found


def actions(env_id: str, n: int, generator: torch.Generator) -> Tensor:
    if env_id == "Pendulum-v1":
        return torch.randn(n, 1, generator=generator) * 2
    return torch.randint(env_maker(env_id)().action_space.n, (n,), generator=generator)  # type: ignore[attr-defined]


def begun(law: World, n: int = ROWS) -> tuple[Tensor, Tensor]:
    starts = law.starts(torch.arange(n).numpy())
    return torch.from_numpy(starts.state), torch.from_numpy(starts.draws)


@pytest.mark.parametrize("env_id", IDS)
def test_only_operations_that_are_laid_down(env_id: str) -> None:
    law = world(env_id)
    state, draws = begun(law)
    action = actions(env_id, ROWS, torch.Generator().manual_seed(0))
    with Laid() as laid:
        state, *_ = law.step(state, action, draws[:, 0] if law.draws else None)
        law.obs(state)
        law.said(state)
    assert laid.done.total() > 3


class Careless(CartPole):
    """Another law: each of its mistakes gives other bits on another device."""

    def __init__(self, env: Any, mistake: str) -> None:
        super().__init__(env)
        self.mistake = mistake

    def step(self, state: Tensor, action: Tensor, draw: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        new, reward, terminated = super().step(state, action, draw)
        column = new[:, 0]
        done = {
            "sine": lambda: column.sin(),
            "power": lambda: column**2.0,
            "scalar divisor": lambda: column / 3.0,
            "fused": lambda: torch.addcmul(column, column, column),
            "alpha": lambda: torch.add(column, column, alpha=3),
            "lerp": lambda: torch.lerp(column, column, 0.3),
            "sum": lambda: new.sum(1),
            "mean": lambda: new.mean(1),
            "product": lambda: new @ new.T,
            "exp": lambda: column.exp(),
            "wait": lambda: column[0].item(),
            "mask": lambda: new[terminated],
        }
        done[self.mistake]()
        return new, reward, terminated


@pytest.mark.parametrize(
    "mistake",
    ["sine", "power", "scalar divisor", "fused", "alpha", "lerp", "sum", "mean", "product", "exp", "wait", "mask"],
)
def test_another_operation_is_found(mistake: str) -> None:
    law = Careless(env_maker("CartPole-v1")().unwrapped, mistake)
    state, _ = begun(law)
    with pytest.raises(AssertionError), Laid():
        law.step(state, torch.ones(ROWS, dtype=torch.int64))


def test_how_much_a_step_of_cartpole_takes() -> None:
    law = world("CartPole-v1")
    state, _ = begun(law)
    action = torch.ones(ROWS, dtype=torch.int64)
    with Laid() as laid:
        law.step(state, action)
    assert laid.done.total() == 34
    with Laid() as laid:
        law.obs(state)
    assert laid.done.total() == 1


@pytest.mark.parametrize("env_id", [*IDS, "FrozenLake8x8-v1", "CliffWalkingSlippery-v1"])
def test_copies_together_are_each_alone(env_id: str) -> None:
    law, generator = world(env_id), torch.Generator().manual_seed(0)
    state, draws = begun(law)
    alone = list(state.split(1))
    for t in range(25):
        action = actions(env_id, ROWS, generator)
        draw = draws[:, t] if law.draws else None
        state, reward, terminated = law.step(state, action, draw)
        each = [
            law.step(one, action[i : i + 1], None if draw is None else draw[i : i + 1]) for i, one in enumerate(alone)
        ]
        alone = [one for one, _, _ in each]
        assert torch.equal(state, torch.cat(alone))
        assert torch.equal(reward, torch.cat([paid for _, paid, _ in each]))
        assert torch.equal(terminated, torch.cat([ended for *_, ended in each]))
        assert torch.equal(law.obs(state), torch.cat([law.obs(one) for one in alone]))
        if env_id == "rlbench/Catch-v0" and terminated.all():
            break


@pytest.mark.parametrize("env_id", IDS)
def test_nothing_that_is_given_is_written_to(env_id: str) -> None:
    """And nothing that is given away is the law's own, or the state's."""
    law = world(env_id)
    state, draws = begun(law)
    action = actions(env_id, ROWS, torch.Generator().manual_seed(0))
    draw = draws[:, 0] if law.draws else None
    kept = [x.clone() for x in (state, action, draws)]
    new, reward, terminated = law.step(state, action, draw)
    before = new.clone(), law.obs(new), law.said(new)
    for x in (new, law.obs(state), *law.said(state).values()):
        x.zero_()
    assert all(torch.equal(a, b) for a, b in zip((state, action, draws), kept, strict=True))
    again = law.step(state, action, draw)
    assert torch.equal(again[0], before[0])
    assert torch.equal(again[1], reward)
    assert torch.equal(again[2], terminated)
    assert torch.equal(law.obs(again[0]), before[1])
    assert law.said(again[0]).keys() == before[2].keys() == law.extras.keys()


@pytest.mark.parametrize("env_id", IDS)
def test_forms_are_as_told(env_id: str) -> None:
    law = world(env_id)
    state, draws = begun(law)
    assert state.shape == (ROWS, law.size)
    assert state.dtype == law.dtype
    assert draws.shape == (ROWS, law.draws)
    action = actions(env_id, ROWS, torch.Generator().manual_seed(0))
    new, reward, terminated = law.step(state.T.contiguous().T, action, draws[:, 0] if law.draws else None)
    assert new.shape == state.shape
    assert new.dtype == law.dtype
    assert (reward.shape, reward.dtype) == ((ROWS,), torch.float64)
    assert (terminated.shape, terminated.dtype) == ((ROWS,), torch.bool)
    assert law.obs(new).is_contiguous()
    for name, form in law.extras.items():
        assert law.said(new)[name].shape == (ROWS, *form.shape)
        assert law.said(new)[name].dtype == form.dtype


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("env_id", [*IDS, "FrozenLake8x8-v1", "CliffWalkingSlippery-v1"])
def test_on_a_card_the_bits_are_those_of_the_host(env_id: str) -> None:
    law, generator = world(env_id), torch.Generator().manual_seed(0)
    state, draws = begun(law, 1000)
    there, on_card = law.to(torch.device("cuda")), state.cuda()
    for t in range(60):
        action = actions(env_id, 1000, generator)
        draw = draws[:, t] if law.draws else None
        state, reward, terminated = law.step(state, action, draw)
        moved = action.cuda(), None if draw is None else draw.cuda()
        try:
            torch.cuda.set_sync_debug_mode("error")
            on_card, paid, ended = there.step(on_card, *moved)
            shown, said = there.obs(on_card), there.said(on_card)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert torch.equal(on_card.cpu(), state)
        assert torch.equal(paid.cpu(), reward)
        assert torch.equal(ended.cpu(), terminated)
        assert torch.equal(shown.cpu(), law.obs(state))
        assert all(torch.equal(said[name].cpu(), value) for name, value in law.said(state).items())
        if env_id == "rlbench/Catch-v0" and terminated.all():
            break
