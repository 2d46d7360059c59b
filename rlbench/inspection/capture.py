"""What the layers of networks give while an agent is asked about observations: listened to, never changed.

Agents call layers in their own ways, ``net(x)`` or ``net.forward(x)``, some activations are functions and no layers,
and others work in place. So each module's ``forward`` is wrapped for the time of listening, activations are heard as
functions of torch, and what came is copied at once.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .networks import AgentNetwork

#: How the units of an activation can fail: never above zero, or always at a bound.
RECTIFIED, BOUNDED, OTHER = "rectified", "bounded", "other"
ACTIVATIONS = {
    "relu": RECTIFIED, "relu_": RECTIFIED, "relu6": RECTIFIED, "threshold": RECTIFIED,
    "tanh": BOUNDED, "tanh_": BOUNDED, "sigmoid": BOUNDED, "sigmoid_": BOUNDED, "hardtanh": BOUNDED, "grucell": BOUNDED,
    "gru": BOUNDED, "lstm": BOUNDED, "lstmcell": BOUNDED, "rnncell": BOUNDED, "hardsigmoid": BOUNDED,
    "softsign": BOUNDED, "silu": OTHER, "silu_": OTHER, "gelu": OTHER, "elu": OTHER, "leaky_relu": OTHER,
    "leakyrelu": OTHER, "selu": OTHER, "celu": OTHER, "mish": OTHER, "softplus": OTHER, "hardswish": OTHER,
}  # fmt: skip


class Heard(NamedTuple):
    """What one layer gave.

    Attributes:
        network: whose layer it is.
        kind: its class, "Linear", or the function, "relu".
        failing: one of `RECTIFIED`, `BOUNDED`, `OTHER`; "" of what is no activation.
        output: (N, units, ...), of N observations.
    """

    network: str
    kind: str
    failing: str
    output: Tensor


class Listening:
    """Heard so far, of all that was asked.

    Attributes:
        features: network -> (N, d), what its last layer with parameters was given: the last hidden layer's output.
    """

    def __init__(self) -> None:
        self.features: dict[str, Tensor] = {}
        self._parts: dict[tuple[str, int], list[Heard]] = {}
        self._features: dict[str, list[Tensor]] = {}
        self._rows = 0
        self._stack: list[tuple[AgentNetwork, nn.Module]] = []
        self._pass: dict[str, list[Heard]] = {}
        self._given: dict[str, Tensor] = {}
        self._done: set[int] = set()

    @contextlib.contextmanager
    def asked(self, rows: int) -> Iterator[None]:
        """One time the agent is asked, about ``rows`` observations; of every layer the first call counts."""
        self._rows, self._pass, self._given, self._done = rows, {}, {}, set()
        with _Functions(self._function):
            yield
        for network, layers in self._pass.items():
            for i, one in enumerate(layers):
                self._parts.setdefault((network, i), []).append(one)
        for network, given in self._given.items():
            for name, x in _each(network, given, rows):
                self._features.setdefault(name, []).append(x.flatten(1))

    def layers(self) -> list[Heard]:
        """Every layer that was heard, in the order in which it was; those of several networks that are computed as one
        apart."""
        found = []
        for parts in self._parts.values():
            if len({(one.kind, one.output.shape[1:]) for one in parts}) == 1:  # it went the same way every time
                found.append(parts[0]._replace(output=torch.cat([one.output for one in parts])))
        self.features = {name: torch.cat(parts) for name, parts in self._features.items()}
        order = list(dict.fromkeys(one.network for one in found))
        return sorted(found, key=lambda one: order.index(one.network))

    def _module(self, network: AgentNetwork, module: nn.Module, output: Any) -> None:
        """A module has been called; of those that have none in themselves, what they gave counts."""
        output = output[0] if isinstance(output, tuple) and output else output
        first = id(module) not in self._done
        self._done.add(id(module))
        if not first or list(module.children()) or not isinstance(output, Tensor):
            return
        kind = type(module).__name__
        self._keep(network.name, kind, ACTIVATIONS.get(kind.lower(), ""), output)

    def _enter(self, network: AgentNetwork, module: nn.Module, given: Sequence[Any]) -> None:
        self._stack.append((network, module))
        whole = bool(given) and isinstance(given[0], Tensor) and given[0].is_floating_point()
        if whole and not list(module.children()) and list(module.parameters()) and id(module) not in self._done:
            self._given[network.name] = given[0].detach().clone()  # the last one stays

    def _leave(self) -> None:
        self._stack.pop()

    def _function(self, name: str, output: Tensor) -> None:
        """A function of torch has been called that may be an activation between layers."""
        if not self._stack or name not in ACTIVATIONS:
            return
        network, module = self._stack[-1]
        if id(module) in self._done:
            return
        if not list(module.children()) and type(module).__name__.lower() in (*ACTIVATIONS, "multiheadattention"):
            return  # it is what that layer does
        self._keep(network.name, name.rstrip("_"), ACTIVATIONS[name], output)

    def _keep(self, network: str, kind: str, failing: str, output: Tensor) -> None:
        for name, x in _each(network, output, self._rows):
            if x.dim() > 1 and x.is_floating_point():
                self._pass.setdefault(name, []).append(Heard(name, kind, failing, x))


@contextlib.contextmanager
def listening(found: Sequence[AgentNetwork]) -> Iterator[Listening]:
    """Context in which what the layers of these networks give is heard; afterwards they are as they were."""
    heard, wrapped = Listening(), list[nn.Module]()
    try:
        for network in found:
            for module in network.module.modules():
                if not any(module is one for one in wrapped):
                    wrapped.append(module)
                    _wrap(heard, network, module)
        yield heard
    finally:
        for module in wrapped:
            vars(module).pop("forward", None)


def _wrap(heard: Listening, network: AgentNetwork, module: nn.Module) -> None:
    own: Callable[..., Any] = module.forward

    def forward(*given: Any, **more: Any) -> Any:
        heard._enter(network, module, given)
        try:
            output = own(*given, **more)
        finally:
            heard._leave()
        heard._module(network, module, output)
        return output

    module.forward = forward


class _Functions(TorchFunctionMode):
    """Tells which functions of torch are called, by their names."""

    def __init__(self, tell: Callable[[str, Tensor], None]) -> None:
        super().__init__()
        self._tell = tell

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if name in ACTIVATIONS and isinstance(output, Tensor):
            self._tell(name, output)
        return output


def _each(network: str, x: Tensor, rows: int) -> list[tuple[str, Tensor]]:
    """``x`` of one seed as (N, ...), for each of the networks that are computed as one; [] of what has another form.

    Stacked layers give (1, N, ...), and (k, N, ...) where k networks of the seed are rows of one; others (N, ...).
    """
    x = x.detach()
    if x.dim() > 1 and x.shape[1] == rows and (x.shape[0] == 1 or x.dim() > 2):
        k = x.shape[0]
        return [(network if k == 1 else f"{network} {i + 1} of {k}", x[i].to("cpu", copy=True)) for i in range(k)]
    return [(network, x.to("cpu", copy=True))] if x.dim() and x.shape[0] == rows else []
