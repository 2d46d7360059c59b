"""`export_quantized`: a policy with weights of 8 bits, kept where that costs no return.

The policy is first exported and proved as it is; then it is quantised, and asked the same: which actions it takes, how
long that takes, and what it gets in whole episodes.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import RlbenchError
from ..files import check_writable, exporting
from ..policyfile.metadata import Box, Metadata
from ..policyfile.opened import PolicyFile, open_content
from ..policyfile.packages import package
from ..process.places import absolute
from ..proving.observed import ObsStream
from ..proving.proof import begun, random_stream, to_compare
from ..ship.export import EPISODES, Exported, export
from ..timing.asked import Asking
from ..timing.latency import Entrant, Measured, measure
from ..tracing.formats import sealed_model
from ..tracing.live import ByPort
from ..tracing.policy import contract
from ..tracing.quantize import Quantized, quantize
from ..trained.load import Trained
from .price import Price, play_alone, price

BATCHES = (1, 32)  # that are timed
SECONDS = 0.3  # of each


class Costly(RlbenchError):
    """A quantised policy that gets less than the policy that it was made of, or for all that is known may."""


class Agreed(NamedTuple):
    """Of how many observations the action is the same, where they are asked one by one; and by how much others differ,
    on average and at most, where actions are continuous, in shares of their range where it is bounded."""

    source: str
    observations: int
    same: float
    mean: float
    largest: float


class QuantizedExport(NamedTuple):
    """What was written, and what is known of it. ``exported`` is of the policy that it was made of."""

    path: Path
    metadata: Metadata
    nbytes: int
    seconds: float
    exported: Exported
    quantized: Quantized
    agreed: tuple[Agreed, ...]
    continuous: bool
    times: tuple[Measured, Measured]  # before and after
    price: Price
    forced: bool


def export_quantized(
    trained: Trained,
    out: str | Path,
    *,
    episodes: int = EPISODES,
    force: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> QuantizedExport:
    """Write a trained policy into an ONNX file with weights of 8 bits.

    Args:
        trained: as for `export`.
        out: the file; it ends with .onnx.
        episodes: that each of the two plays.
        force: keep the file whatever it costs; it says of itself that it was.
        say: told how far it is.

    Raises:
        Costly: it gets less return, or so few episodes cannot tell. Nothing was written.
        UsageError: there is nothing to quantise; or as for `export`.
        RlbenchError: as for `export`.
    """
    began, out = time.perf_counter(), absolute(out)
    check_writable(out, "--out FILE")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "policy.onnx"
        done = export(trained, "onnx", place, episodes=episodes, say=say)
        before = open_content(place.read_bytes(), place)
        agreed = contract(trained)
        seen = to_compare(trained, agreed)
        say("quantising")
        made = quantize(place.read_bytes(), seen.inputs)
        after = open_content(made.content, place)
        random = random_stream(agreed, len(seen), np.random.default_rng(2))
        compared = (agreement(before, after, seen), agreement(before, after, random)._replace(source="random numbers"))
        small = Path(folder) / "int8.onnx"
        with small.open("wb") as stream:
            stream.write(made.content)
        say("timing both")
        entrants = [Entrant(p.stem, p, p.stat().st_size, "file") for p in (place, small)]
        first, second = measure(entrants, Asking(dict(seen.inputs), seen.source), BATCHES, seconds=SECONDS)
    played = play_alone(after, trained, episodes, lambda text: say(f"playing by the quantised file: {text}"))
    found = price(done.proof.returns.returns, played)
    if found.outcome != "no worse" and not force:
        raise Costly(_refusal(found))
    metadata = done.metadata.model_copy(
        update={
            "quantized": made.name,
            "proof": {
                "full_precision": done.metadata.proof,
                "quantized": {**found.summary(), "forced": force and found.outcome != "no worse"},
            },
        }
    )
    content = _with(made.content, metadata)
    open_content(content, out)
    with exporting(out, "--out FILE") as temporary, temporary.open("wb") as stream:
        stream.write(content)
    return QuantizedExport(
        path=out,
        metadata=metadata,
        nbytes=len(content),
        seconds=time.perf_counter() - began,
        exported=done,
        quantized=made,
        agreed=compared,
        continuous=_continuous(metadata),
        times=(first, second),
        price=found,
        forced=force and found.outcome != "no worse",
    )


def agreement(before: PolicyFile, after: PolicyFile, stream: ObsStream) -> Agreed:
    """Ask both the same, one observation after the other; what the first remembers is given to both."""
    memory: ByPort = {}
    metadata, pairs = before.metadata, []
    for i in range(len(stream)):
        taken = {name: x[i : i + 1] for name, x in stream.inputs.items()}
        inputs = {**taken, **begun(metadata, memory, stream.started[i : i + 1])}
        wanted = [port.name for port in metadata.outputs if port.role in ("action", "memory")]
        outputs = before(inputs, wanted)
        memory = before.remembered(outputs)
        pairs.append((outputs["action"][0], after(inputs, ["action"])["action"][0]))
    one, other = (np.array(x, np.float64).reshape(len(pairs), -1) for x in zip(*pairs, strict=True))
    apart = np.abs(one - other) / _range(metadata)
    return Agreed(
        stream.source, len(pairs), float((one == other).all(1).mean()), float(apart.mean()), float(apart.max())
    )


def _continuous(metadata: Metadata) -> bool:
    return isinstance(metadata.action, Box) and np.dtype(metadata.action.dtype).kind == "f"


def _range(metadata: Metadata) -> np.ndarray:
    """How far actions reach, flat; 1 where there is no bound."""
    action = metadata.action
    if not isinstance(action, Box):
        return np.ones(1)
    low, high = (np.broadcast_to(np.array(b, np.float64), action.shape).ravel() for b in (action.low, action.high))
    return np.where(np.isfinite(high - low) & (high > low), high - low, 1.0)


def _with(content: bytes, metadata: Metadata) -> bytes:
    """A file that says this of itself."""
    return sealed_model(package("onnx", "onnx").load_from_string(content), metadata)


def _refusal(found: Price) -> str:
    if found.outcome == "worse":
        return f"int8 costs return, {found.text}. Nothing was written. To keep it all the same: --force"
    more = f"about {found.needed:,} would: --episodes {found.needed}" if found.needed else "more would not"
    many = "one episode" if found.episodes == 1 else f"{found.episodes:,} episodes"
    return (
        f"{many} cannot tell whether int8 costs return, and {more}; {found.text}. Nothing was written. To keep it all "
        "the same: --force"
    )
