"""What was quantised, in words, and as JSON."""

from collections.abc import Iterator
from typing import Any

from ..process.places import shown
from ..ship.text import content, lines
from ..units import byte_size, duration, latency
from .export_quantized import Agreed, QuantizedExport


def quantized_lines(done: QuantizedExport) -> Iterator[str]:
    """For a terminal."""
    m, q = done.metadata, done.quantized
    whose = f"seed {m.seeds[0]}" if m.vote is None else f"{len(m.seeds)} seeds, {m.vote} vote"
    size = f"{byte_size(done.nbytes)}, {duration(done.seconds, tenths=True)}"
    yield f"{shown(done.path)}: {m.agent} on {m.env}, {whose}, {m.env_steps:,} env steps; {size}"
    old_size = byte_size(done.exported.nbytes)
    yield f"  {q.name}: {q.layers} of {q.of} layers, {byte_size(done.nbytes)} in place of {old_size}"
    before, after = done.times
    for i, (old, new) in enumerate(zip(before.times, after.times, strict=True)):
        many = "one observation" if old.batch == 1 else f"{old.batch} observations"
        yield f"  {'' if i else 'p50':9}{many}: {latency(new.p50)} in place of {latency(old.p50)}"
    for i, agreed in enumerate(done.agreed):
        yield f"  {'' if i else 'actions':9}{_agreed(agreed, done.continuous)}"
    yield f"  returns  {done.price.text}"
    if done.forced:
        yield "           kept all the same, by --force; the file says so"
    yield "before it was quantised:"
    _, *proof = lines(done.exported)
    yield from proof


def quantized_content(done: QuantizedExport) -> dict[str, Any]:
    """For programs."""
    before, after = done.times
    return {
        **content(done.exported),
        "path": shown(done.path),
        "bytes": done.nbytes,
        "seconds": round(done.seconds, 3),
        "metadata": done.metadata.model_dump(mode="json"),
        "quantized": {
            "how": done.quantized.name,
            "layers": done.quantized.layers,
            "layers_in_all": done.quantized.of,
            "bytes_before": done.exported.nbytes,
            "p50_seconds": {str(t.batch): t.p50 for t in after.times},
            "p50_seconds_before": {str(t.batch): t.p50 for t in before.times},
            "actions": [agreed._asdict() for agreed in done.agreed],
            "returns": done.price.summary(),
            "forced": done.forced,
        },
    }


def _agreed(agreed: Agreed, continuous: bool) -> str:
    if continuous:
        return (
            f"off by {agreed.mean:.2%} of their range on average, {agreed.largest:.2%} at most, on "
            f"{agreed.observations:,} observations of {agreed.source}"
        )
    return f"the same on {agreed.same:.1%} of {agreed.observations:,} observations of {agreed.source}"
