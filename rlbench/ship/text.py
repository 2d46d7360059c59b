"""What was exported, in words and as JSON."""

from collections.abc import Iterable, Iterator
from typing import Any

from ..judge.verdict import interval
from ..numbers import number
from ..policyfile.metadata import Port
from ..process.places import shown
from ..proving.agree import TOLERANCE
from ..proving.gain import Gain
from ..stats.estimates import Estimate
from ..units import byte_size, duration
from .export import Exported, Proof


def lines(done: Exported) -> Iterator[str]:
    """For a terminal."""
    m = done.metadata
    whose = f"seed {m.seeds[0]}" if m.vote is None else f"{len(m.seeds)} seeds, {m.vote} vote"
    size = f"{byte_size(done.nbytes)}, {duration(done.seconds, tenths=True)}"
    yield f"{shown(done.path)}: {m.agent} on {m.env}, {whose}, {m.env_steps:,} env steps; {size}"
    if m.env_kwargs or m.wrappers:
        keys = [f"{key}={value!r}" for key, value in m.env_kwargs.items()]
        yield f"  around   {m.env}: {', '.join([*keys, *m.wrappers])}"
    yield f"  takes    {_ports(m.inputs)}"
    yield f"  gives    {_ports(m.outputs)}"
    yield from _proved(done.proof)
    yield from _gained(done.gain) if done.gain is not None else ()
    if done.tried:
        first, *rest = done.tried.split("; ")
        yield f"  page     {first}"
        yield from (f"           {line}" for line in rest)


def _proved(proof: Proof) -> Iterator[str]:
    answers, returns = proof.answers, proof.returns
    within = f"numbers within {proof.largest:.1g}" if proof.largest else "numbers to the last bit"
    yield (
        f"  answers  the live agent's, to {answers.recorded:,} observations of {answers.source} and {answers.random:,} "
        "random ones, in batches of 1, 7 and 256"
    )
    yield f"           and at {proof.steps:,} steps of its own: all actions, {within}"
    if proof.rounded:
        yield f"           {proof.rounded:,} answers are further off than {TOLERANCE:g}, by rounding: no further than"
        yield "           twice what the live agent's own lie apart when the last bits of an observation change"
    if proof.ties:
        yield f"           {proof.ties:,} actions are ties: another one, of the same value within the tolerance"
    n, mean = len(returns.live), number(float(returns.returns.mean()))
    yield f"  returns  {mean} on average; {returns.equal:,} of {n:,} episodes as the live agent's"
    if returns.drifted:
        means = Estimate(float((returns.returns - returns.live).mean()), returns.low, returns.high)
        yield f"           the others differ by {returns.why}: on the whole {interval(means, signed=True)}"


def _gained(gain: Gain) -> Iterator[str]:
    one, best = interval(gain.over_one, signed=True), interval(gain.over_best, signed=True)
    yield f"  gains    {one} over one of its seeds by itself, {best} over the best in training, seed {gain.best}"
    yield "           (mean return in the same episodes, 95 % intervals; of other seeds it may be otherwise)"


def _ports(ports: Iterable[Port]) -> str:
    return ", ".join(f"{port.name} {port.dtype}[{', '.join(['B', *map(str, port.shape)])}]" for port in ports)


def content(done: Exported) -> dict[str, Any]:
    """For programs."""
    about = {"path": shown(done.path), "format": done.kind, "bytes": done.nbytes, "seconds": round(done.seconds, 3)}
    gain = None if done.gain is None else _gain_content(done.gain)
    return {**about, "gain": gain, "page": done.tried or None, "metadata": done.metadata.model_dump(mode="json")}


def _gain_content(gain: Gain) -> dict[str, Any]:
    return {
        "mean_return": gain.ensemble,
        "seeds": {str(seed): value for seed, value in gain.singles.items()},
        "best_seed": gain.best,
        "over_one": gain.over_one._asdict(),
        "over_best": gain.over_best._asdict(),
    }
