"""What was exported, in words, and as JSON."""

from collections.abc import Iterator
from typing import Any

from ..numbers import interval, number
from ..process.places import shown
from ..stats.estimates import Estimate
from ..units import byte_size, duration
from .agree import TOLERANCE
from .export import Exported


def lines(done: Exported) -> Iterator[str]:
    """For a terminal."""
    m, proof = done.metadata, done.proof
    seeds = f"seed {m.seeds[0]}" if m.vote is None else f"{len(m.seeds)} seeds, {m.vote} vote"
    answers, returns = proof.answers, proof.returns
    yield f"{shown(done.path)}: {m.agent} on {m.env}, {seeds}, {m.env_steps:,} env steps; {byte_size(done.nbytes)}"
    yield f"takes {_ports(m.inputs)}; gives {_ports(m.outputs)}"
    yield (
        f"the same as the live agent on {answers.recorded:,} observations of {answers.source} and {answers.random:,} "
        f"random ones, in batches of 256, 7 and 1, and at {proof.steps:,} steps of its own: all actions, and numbers "
        f"within {proof.largest:.1g}"
    )
    if proof.rounded:
        yield (
            f"{proof.rounded:,} of these answers are further off than {TOLERANCE:g}, by rounding: no further than "
            "twice what the live agent's own lie apart when the last bits of an observation change"
        )
    if proof.ties:
        yield f"ties, where two actions have one value within the tolerance and the other was taken: {proof.ties:,}"
    n = len(returns.live)
    played = (
        f"{n:,} {'episode' if n == 1 else 'episodes'} by the file alone: mean return {number(returns.returns.mean())}"
    )
    yield f"{played}, {returns.equal:,} of {n:,} equal to the live agent's"
    if returns.drifted:
        means = Estimate(float((returns.returns - returns.live).mean()), returns.low, returns.high)
        yield f"the others differ by {returns.why}: on the whole {interval(*means, signed=True)}"
    if (gain := done.gain) is not None:
        best = gain.singles[gain.best]
        yield (
            f"together {number(gain.ensemble)}: {interval(*gain.over_one, signed=True)} over one of the seeds alone, "
            f"{interval(*gain.over_best, signed=True)} over the one that was best in training (seed {gain.best}: "
            f"{number(best)}); 95 % intervals over the same {n:,} episodes"
        )
    yield f"took {duration(done.seconds, tenths=True)}"


def _ports(ports: Any) -> str:
    return ", ".join(f"{port.name} {port.dtype}[{', '.join(['B', *map(str, port.shape)])}]" for port in ports)


def content(done: Exported) -> dict[str, Any]:
    """For programs."""
    gain = done.gain
    told = (
        None
        if gain is None
        else {
            "mean_return": gain.ensemble,
            "seeds": {str(seed): value for seed, value in gain.singles.items()},
            "best_seed": gain.best,
            "over_one": gain.over_one._asdict(),
            "over_best": gain.over_best._asdict(),
        }
    )
    about = {"path": shown(done.path), "format": done.kind, "bytes": done.nbytes, "seconds": round(done.seconds, 3)}
    return {**about, "gain": told, "metadata": done.metadata.model_dump(mode="json")}
