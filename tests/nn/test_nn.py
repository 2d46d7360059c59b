"""Tests of rlbench.nn: against torch.nn and vmap as oracles, and the width promise to the last bit."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import make_spec
from torch import Tensor

from rlbench import functional, nn
from rlbench.nn.flat import ALIGN, Flat
from rlbench.optim import Adam
from rlbench.rng import Stream, Streams
from rlbench.types import Spec

Build = Callable[[Stream], nn.Network]


PLAIN: dict[type[nn.Layer], type[torch.nn.Module]] = {
    nn.Flatten: torch.nn.Flatten,
    nn.ReLU: torch.nn.ReLU,
    nn.Tanh: torch.nn.Tanh,
    nn.SiLU: torch.nn.SiLU,
}


def stacked(build: Build, seeds: list[int]) -> nn.Network:
    return build(Streams(seeds)["init"])


def plain(module: nn.Network, s: int) -> torch.nn.Sequential:
    """The layers of seed s out of torch.nn alone, working on (N, ...)."""
    layers: list[torch.nn.Module] = []
    for layer in module.layers:
        own: torch.nn.Module
        if isinstance(layer, nn.Linear):
            own = torch.nn.Linear(*layer.matrix.shape[1:])
            own.weight.data, own.bias.data = layer.matrix[s].T.detach().clone(), layer.bias[s, 0].detach().clone()
        elif isinstance(layer, nn.LayerNorm):
            own = torch.nn.LayerNorm(layer.shape)
            own.weight.data, own.bias.data = layer.weight[s, 0].detach().clone(), layer.bias[s, 0].detach().clone()
        elif isinstance(layer, nn.Conv2d):
            n_out = layer.weight.shape[2]
            n_in = layer.weight.shape[1] // layer.kernel**2
            own = torch.nn.Conv2d(n_in, n_out, layer.kernel, layer.stride)
            own.weight.data = layer.weight[s].T.detach().reshape(own.weight.shape).clone()
            own.bias.data = layer.bias[s, 0].detach().clone()  # type: ignore[union-attr]
        else:
            own = PLAIN[type(layer)]()
        layers.append(own)
    return torch.nn.Sequential(*layers)


def mlp(n_in: int, hidden: list[int], n_out: int, layer_norm: bool = False) -> Build:
    return lambda init: nn.Network(nn.mlp(n_in, hidden, n_out, init, layer_norm=layer_norm))


def smooth(n_in: int, width: int, n_out: int) -> Build:
    """A network that bends by `Tanh` and by `SiLU`, also where nothing lies below that could be differentiated."""
    return lambda init: nn.Network([
        nn.Tanh(), nn.Linear(n_in, width, init), nn.SiLU(), nn.Linear(width, width + 1, init), nn.Tanh(),
        nn.LayerNorm(width + 1, init), nn.SiLU(), nn.Linear(width + 1, n_out, init), nn.Tanh(), nn.SiLU(),
    ])  # fmt: skip


def trunk(shape: tuple[int, int, int]) -> Build:
    return lambda init: nn.Network(nn.cnn(shape, init)[0])


def of_spec(spec: Spec, hidden: list[int]) -> Build:
    return lambda init: nn.network(spec, hidden, 3, init)


def noise(*shape: int) -> Tensor:
    return Streams([7])["noise"].normal(math.prod(shape)).view(shape)


ORACLE: dict[str, tuple[Build, tuple[int, ...]]] = {
    "mlp": (mlp(3, [5, 7], 2), (3,)),
    "linear": (mlp(3, [], 2), (3,)),
    "layer norm": (mlp(3, [6], 4, layer_norm=True), (3,)),
    "smooth": (smooth(3, 6, 4), (3,)),
    "small cnn": (trunk((4, 10, 9)), (4, 10, 9)),
    "atari cnn": (trunk((2, 36, 40)), (2, 36, 40)),
    "tiny image": (trunk((1, 2, 5)), (1, 2, 5)),
}


@pytest.mark.parametrize("name", ORACLE)
def test_stacked_equals_separate_torch_networks_and_vmap(name: str) -> None:
    build, shape = ORACLE[name]
    seeds = 3
    module = stacked(build, [4, 9, 2])
    for i, parameter in enumerate(module.parameters()):  # LayerNorm starts at 1 and 0, which would hide a lot
        parameter.data += 0.3 * noise(*parameter.shape) / (i + 1)
    networks = [plain(module, s) for s in range(seeds)]
    x = noise(seeds, 6, *shape).requires_grad_()
    out = module(x)
    weight = noise(*out.shape)
    grads = torch.autograd.grad((out * weight).sum(), [x, *module.parameters()])
    for s in range(seeds):
        alone = networks[s]
        x_alone = x[s].detach().clone().requires_grad_()
        out_alone = alone(x_alone)
        torch.testing.assert_close(out[s], out_alone, rtol=1e-4, atol=1e-5)
        grads_alone = torch.autograd.grad((out_alone * weight[s]).sum(), [x_alone, *alone.parameters()])
        for i, (own, oracle) in enumerate(zip(grads, grads_alone, strict=True)):
            aligned = oracle if i == 0 or oracle.dim() == 1 else oracle.flatten(1)
            shown = own[s].reshape(aligned.shape) if own[s].numel() == own.shape[-1] or i == 0 else own[s]
            if shown.shape != aligned.shape:  # stored the other way round
                shown = shown.T
            torch.testing.assert_close(shown, aligned, rtol=1e-3, atol=1e-4)

    params = torch.func.stack_module_state(networks)[0]
    mapped = torch.func.vmap(lambda p, rows: torch.func.functional_call(networks[0], p, (rows,)))(params, x)
    torch.testing.assert_close(out, mapped, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ORACLE)
def test_vjp_is_what_autograd_finds(name: str) -> None:
    build, shape = ORACLE[name]
    module = stacked(build, [4, 9])
    for parameter in module.parameters():
        parameter.data += 0.1 * noise(*parameter.shape)
    x = noise(2, 5, *shape)
    out = module(x)
    upstream = noise(*out.shape)
    flat = Flat(module)
    with torch.no_grad():
        own, pull = module.vjp(x)
        pull(upstream, flat.grads)
    torch.testing.assert_close(own, out.detach())
    oracle = torch.autograd.grad((out * upstream).sum(), list(module.parameters()))
    for ours, theirs in zip(flat.grads, oracle, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def three_steps(module: nn.Network, x: Tensor, target: Tensor, autograd: bool = True) -> list[Tensor]:
    """Outputs, gradients, norms and weights of three steps with Adam, clipping and a soft update, each (S, ...)."""
    shadow = copy.deepcopy(module)
    flat, slow = Flat(module), Flat(shadow)
    adam, kept = Adam(flat.data, 0.01), []
    for _ in range(3):
        if autograd:
            kept.append(flat.gradient(functional.huber_loss(module(x) - target)[0].flatten(1).mean(1).sum()))
        with torch.no_grad():
            out, pull = module.vjp(x)
            pull(functional.huber_loss(out - target)[1] / x.shape[1], flat.grads)
            grad = flat.grad
        kept += [out, module(x).detach(), grad.clone()]
        kept.append(functional.clip_norm_(grad, 0.05))
        adam.step(grad)
        slow.data.lerp_(flat.data, 0.1)
        kept += [flat.data.clone(), slow.data.clone()]
    return kept


def assert_width(build: Build, shape: tuple[int, ...], batch: int, seeds: int, autograd: bool = True) -> None:
    numbers = [11 * s + 3 for s in range(seeds)]
    x = Streams(numbers)["x"].uniform(batch * math.prod(shape)).view(seeds, batch, *shape)
    x = (x * 256).to(torch.uint8) if len(shape) > 1 else (4 * x - 2).float()
    module = stacked(build, numbers)
    target = 5 * module(x).detach() + 1
    together = three_steps(module, x, target, autograd)
    for s in {0, seeds // 2, seeds - 1}:
        one = slice(s, s + 1)
        alone = three_steps(stacked(build, numbers[one]), x[one].clone(), target[one].clone(), autograd)
        for i, (ours, theirs) in enumerate(zip(together, alone, strict=True)):
            assert torch.equal(ours[s], theirs[0]), f"row {s}, result {i}: {(ours[s] - theirs[0]).abs().max()}"


@pytest.mark.parametrize("seeds", [2, 3, 10])
@pytest.mark.parametrize("batch", [1, 3, 7, 10, 64])
@pytest.mark.parametrize("hidden", [33, 50, 64])
def test_width_of_mlps_to_the_last_bit(seeds: int, batch: int, hidden: int) -> None:
    for n_in in (3, 17):
        assert_width(mlp(n_in, [hidden, hidden], 2), (n_in,), batch, seeds)


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_width_of_narrow_and_of_normalised_layers_to_the_last_bit(batch: int) -> None:
    for hidden in ([], [2], [33], [64, 50]):  # one column invites a matrix-vector product, for one seed alone
        for n_in in (1, 16, 17):
            assert_width(mlp(n_in, hidden, 1), (n_in,), batch, 3)
        assert_width(
            mlp(4, [*hidden, 1, 33], 3), (4,), batch, 3, autograd=False
        )  # autograd's own product is a vector's
    assert_width(mlp(2, [], 18), (2,), batch, 3)
    for hidden in (5, 33, 64):
        assert_width(mlp(5, [hidden, hidden], 3, layer_norm=True), (5,), batch, 3)


@pytest.mark.parametrize("batch", [1, 7, 33, 50])
def test_width_of_smooth_activations_to_the_last_bit(batch: int) -> None:
    for width in (1, 3, 33, 50):
        assert_width(smooth(5, width, 3), (5,), batch, 3, autograd=width > 1)


@pytest.mark.parametrize(("shape", "batch", "seeds"), [((10, 10, 4), 5, 3), ((7, 5), 3, 2), ((3, 36, 36), 2, 2)])
def test_width_of_images_to_the_last_bit(shape: tuple[int, ...], batch: int, seeds: int) -> None:
    assert_width(of_spec(make_spec(shape, torch.uint8), [33]), shape, batch, seeds)


def test_a_row_does_not_move_when_a_neighbour_diverges() -> None:
    module = stacked(mlp(3, [33], 2), [0, 1, 2])
    x = noise(3, 7, 3)
    before = module(x)[1].clone()
    for parameter in module.parameters():
        parameter.data[0], parameter.data[2] = math.nan, math.inf
    assert torch.equal(module(x)[1], before)


def test_flat_turns_parameters_into_views_and_keeps_their_values() -> None:
    module = stacked(mlp(3, [5], 2, layer_norm=True), [0, 1])
    before = [p.detach().clone() for p in module.parameters()]
    flat = Flat(module)
    assert ALIGN % 16 == 0  # whole vectors of every instruction set
    assert flat.data.shape[1] % ALIGN == 0
    inside = torch.zeros_like(flat.data)
    for parameter, old in zip(module.parameters(), before, strict=True):
        assert torch.equal(parameter, old)
        offset = (parameter.data_ptr() - flat.data.data_ptr()) // 4
        assert offset % ALIGN == 0
        inside[:, offset : offset + parameter[0].numel()] = 1
        parameter.data[1, 0] = 7.0  # writing to one is writing to the other
        assert flat.data[1, offset] == 7.0
    assert inside.sum() == sum(p.numel() for p in module.parameters())
    flat.data.zero_()
    assert all(not p.any() for p in module.parameters())


def test_flat_gradient_is_autograds_and_padding_stays_zero() -> None:
    module = stacked(mlp(3, [5], 2), [0, 1])
    flat = Flat(module)
    x, adam = noise(2, 4, 3), Adam(flat.data, 0.1)
    per_parameter = torch.autograd.grad(module(x).square().sum(), list(module.parameters()))
    padding = torch.ones_like(flat.data, dtype=torch.bool)
    gradient = flat.gradient(module(x).square().sum())
    for parameter, grad in zip(module.parameters(), per_parameter, strict=True):
        offset = (parameter.data_ptr() - flat.data.data_ptr()) // 4
        place = slice(offset, offset + parameter[0].numel())
        assert torch.equal(gradient[:, place].reshape(grad.shape), grad)
        padding[:, place] = False
    assert padding.any()
    for _ in range(3):
        adam.step(flat.gradient(module(x).square().sum()))
    assert not flat.data[padding].any()
    assert not gradient[padding].any()


def test_initial_weights_are_spread_as_torchs_and_differ_by_seed() -> None:
    seeds = list(range(20))
    linear, conv = nn.Linear(50, 40, Streams(seeds)["init"]), nn.Conv2d(3, 16, 4, 1, Streams(seeds)["init"])
    for layer, oracle in ((linear, torch.nn.Linear(50, 40)), (conv, torch.nn.Conv2d(3, 16, 4))):
        for name in ("weight", "bias"):
            own, torchs = getattr(layer, name).detach(), getattr(oracle, name).detach()
            bound = 1 / math.sqrt(50 if layer is linear else 48)
            assert own.shape[0] == 20
            assert own[0].numel() == torchs.numel()
            assert own.abs().max() <= bound
            assert own.abs().max() > 0.98 * bound
            assert abs(own.mean().item()) < 0.05 * bound
            assert own.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
            assert torchs.abs().max() <= bound  # torch's own bound, which ours is taken from
        assert len({layer.weight[s].sum().item() for s in seeds}) == 20
    norm = nn.LayerNorm(4, Streams([0, 1])["init"])
    assert norm.weight.tolist() == [[[1.0] * 4]] * 2
    assert norm.bias.tolist() == [[[0.0] * 4]] * 2


@pytest.mark.parametrize(
    ("shape", "planes"),
    [((36, 40), (1, 36, 40)), ((10, 8, 3), (3, 10, 8)), ((3, 10, 8), (3, 10, 8)), ((84, 84, 4), (4, 84, 84))],
)
def test_pixels_finds_the_channels(shape: tuple[int, ...], planes: tuple[int, int, int]) -> None:
    pixels = nn.Pixels(shape)
    assert pixels.shape == planes
    image = torch.zeros(2, 3, *shape, dtype=torch.uint8)
    where = (5, 6) if len(shape) == 2 else (5, 6, 1) if shape[2] < 5 else (1, 5, 6)
    image[(1, 2, *where)] = 255
    out = pixels(image)
    assert out.shape == (2, 3, *planes)
    assert out.nonzero().tolist() == [[1, 2, 0 if len(shape) == 2 else 1, 5, 6]]
    assert out.max() == 1.0
    assert image.max() == 255  # the batch itself is left alone


def test_network_fits_every_kind_of_observation() -> None:
    init = Streams([0, 1])
    assert nn.OneHot(3)(torch.tensor([[0, 2], [1, 1]])).tolist() == [[[1, 0, 0], [0, 0, 1]], [[0, 1, 0], [0, 1, 0]]]
    for spec, obs in (
        (make_spec(num_obs=5), torch.tensor([[4, 0], [1, 2]])),
        (make_spec((2, 3)), noise(2, 2, 2, 3)),
        (make_spec(()), noise(2, 2)),
        (make_spec((8, 8, 2), torch.uint8), torch.ones(2, 2, 8, 8, 2, dtype=torch.uint8)),
    ):
        assert nn.network(spec, [4], 3, init["init"])(obs).shape == (2, 2, 3)


@pytest.mark.parametrize("layers", [lambda init: [nn.Linear(3, 5, init), nn.Tanh()], lambda init: [nn.Tanh()]])
def test_a_gradient_that_is_pulled_back_stays_as_it_was_given(layers: Any) -> None:
    """Whatever the network ends in: it is the caller's."""
    init = Streams([3, 8])["init"]
    net = nn.Network([nn.Linear(4, 3, init), *layers(init), nn.Flatten()]).requires_grad_(False)
    x, grads = init.normal(6, 4), nn.Flat(net).grads
    y, pull = net.vjp(x)
    grad = init.normal(*y.shape[1:])
    before = grad.clone()
    pull(grad, grads)
    assert torch.equal(grad, before)
    params = [p.requires_grad_() for p in net.parameters()]
    for one, due in zip(grads, torch.autograd.grad((net(x) * grad).sum(), params), strict=True):
        torch.testing.assert_close(one, due)
