"""Whether a file is the same policy as the live agent: on recorded and on random observations, in batches of several
sizes, and in whole episodes that the file plays alone.

Both go along the observations in their order, so that what an agent remembers of an episode is compared too; nothing
but a file's own memory comes back to it.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from ..errors import AgentError, RlbenchError
from ..policyfile.metadata import Metadata
from ..policyfile.opened import PolicyFile
from ..tracing.live import Answer, ByPort, LivePolicy, rows
from ..tracing.policy import Contract
from ..trained.load import Trained
from .agree import TOLERANCE, Agreement, Disagreement, compared
from .observed import ObsStream, observed
from .samples import random_inputs

BATCHES = (256, 7, 1)
RECORDED, RANDOM = 2048, 2048  # observations that are compared
STEPS = 32  # of an episode, for what an agent remembers
FEW = 512  # one by one, and of wide ones
WIDE = 2**28  # bytes of observations that are kept at most


class Mismatch(RlbenchError):
    """A file that is not the same policy as the live agent."""


class AnswersCompared(NamedTuple):
    """What was found the same: how many observations of each kind, and of ``rows`` answers in all, batch by batch, what
    `agree.Agreement` has."""

    recorded: int
    source: str
    random: int
    largest: float
    rounded: int
    ties: int
    rows: int


def to_compare(trained: Trained, agreed: Contract) -> ObsStream:
    """Observations of recorded episodes, as many as are compared."""
    width = sum(int(np.prod(port.shape)) * np.dtype(port.dtype).itemsize for port in agreed.inputs)
    return observed(trained, agreed.obs, max(1, min(RECORDED, WIDE // max(1, width))))


def check_live(live: LivePolicy, seen: ObsStream) -> None:
    """See that the live agent gives the same answers twice, to each observation by itself, and that it remembers no
    more than it says.

    Raises:
        AgentError: it does not.
    """
    agent, name, batch = live.trained.agent, type(live.trained.agent).__name__, min(BATCHES[1], len(seen))
    each = len(seen) // batch
    takes = [rows(seen.inputs, np.arange(batch) * each + t) for t in range(min(STEPS, each))]
    before, once = zip(*_course(live, takes), strict=True)
    next(_course(live, takes))  # so that what counts its answers does not begin where it began
    twice = [answer for _, answer in _course(live, takes)]
    if not all(map(_same, once, twice)):
        raise _otherwise(name)
    _check_rows(live, takes)
    for t, taken in enumerate(takes):
        live.begin(np.ones(batch, bool))
        agent.remember(before[t])
        if not _same(live(taken), once[t]):
            says = "remembers more of an episode than its recall() says" if before[t] else "remembers something"
            raise AgentError(
                f"{name} {says}: in the course of an episode it answers otherwise than where one begins. A policy that "
                "leaves says what it remembers with recall(), and takes it back with remember(memory): "
                "see `Agents that remember` in docs/agents.md."
            )


def _check_rows(live: LivePolicy, takes: list[dict[str, np.ndarray]]) -> None:
    """See that the answer to the first row of a batch is the same beside others, far away, as where episodes begin.

    Raises:
        AgentError: it is not.
    """
    batch = len(next(iter(takes[0].values())))
    for t, taken in enumerate(takes if batch > 1 else ()):
        answers = []
        for asked in (taken, _beside(taken, takes[-1 - t]), taken):
            live.begin(np.ones(batch, bool))
            answers.append(live(asked).of_rows([0]))
        first, beside, again = answers
        if not _same(first, again):
            raise _otherwise(type(live.trained.agent).__name__)
        if not _same(first, beside):
            raise AgentError(
                f"{type(live.trained.agent).__name__} cannot be written into a file: its answer to an observation "
                "depends on the others of the batch."
            )


def _otherwise(name: str) -> AgentError:
    return AgentError(
        f"{name} answers otherwise the second time: it draws random numbers, or remembers something that it does not "
        "say by `recall` and `remember` (docs/agents.md). Such a policy cannot be proved to be the same in a file."
    )


def _beside(taken: ByPort, others: ByPort) -> dict[str, np.ndarray]:
    """The first row of ``taken``, and in place of its others the first one of ``others``, again and again."""
    count = len(next(iter(taken.values()))) - 1
    return {name: np.concatenate([x[:1], np.repeat(others[name][:1], count, 0)]) for name, x in taken.items()}


def _course(live: LivePolicy, takes: list[dict[str, np.ndarray]]) -> Iterator[tuple[dict[str, Tensor], Answer]]:
    """What is remembered before each answer, and the answer, in an episode of these observations."""
    live.begin(np.ones(len(next(iter(takes[0].values()))), bool))
    for taken in takes:
        kept = {name: x.clone() for name, x in live.trained.agent.recall().items()}
        yield kept, live(taken)


def _same(x: Answer, y: Answer) -> bool:
    """To the last bit."""
    pairs = [(x.action, y.action), *((x.of_seeds[name], y.of_seeds.get(name)) for name in x.of_seeds)]
    return all(b is not None and a.tobytes() == b.tobytes() for a, b in pairs)


def compare_answers(file: PolicyFile, live: LivePolicy, agreed: Contract, seen: ObsStream) -> AnswersCompared:
    """Ask a file and the live agent the same, of observations that were ``seen`` and of random ones.

    Raises:
        Mismatch: they do not answer the same; it says what each gave, and of which observation.
    """
    drawn = random_stream(agreed, min(RANDOM, len(seen)), np.random.default_rng(1))
    largest, rounded, ties, number = 0.0, 0, 0, 0
    for stream, what in ((seen, seen.source), (drawn, drawn.source)):
        for batch in BATCHES:
            most = len(stream) if batch > 1 else min(len(stream), FEW)
            for agreement in _along(file, live, stream, batch, most, what):
                largest, ties = max(largest, agreement.largest), ties + int(agreement.tied.sum())
                rounded += agreement.rounded
                number += len(agreement.tied)
    return AnswersCompared(len(seen), seen.source, len(drawn), largest, rounded, ties, number)


def random_stream(agreed: Contract, count: int, rng: np.random.Generator) -> ObsStream:
    """Random observations, with random masks; to an agent with memory they are episodes of ten steps or so."""
    inputs = random_inputs(agreed.obs, agreed.inputs, count, rng, agreed.codec.sizes)
    started = rng.random(count) < 0.1
    started[0] = True
    return ObsStream(inputs, started, int(started.sum()), "random observations")


def _along(
    file: PolicyFile, live: LivePolicy, stream: ObsStream, batch: int, most: int, what: str
) -> Iterator[Agreement]:
    """Let both go along observations, in ``batch`` parts of the stream side by side, about ``most`` rows in all.

    Raises:
        Mismatch: see `compare_answers`.
    """
    batch = min(batch, len(stream))
    steps = max(1, most // batch)
    starts = np.arange(batch) * (len(stream) // batch)
    names = [port.name for port in file.metadata.outputs]
    memory: ByPort = {}
    for t in range(steps):
        at = starts + t
        started = stream.started[at] if t else np.ones(batch, bool)
        taken = {**rows(stream.inputs, at), **begun(file.metadata, memory, started)}
        live.begin(started)
        given = file(taken)
        memory = file.remembered(given)
        agreement = compared(given, live(taken), live.codec, names, partial(live.again, taken))
        if agreement.wrong is not None:
            raise mismatch(agreement.wrong, taken, f"Of {what}, in a batch of {batch}")
        yield agreement


def begun(metadata: Metadata, memory: ByPort, started: np.ndarray) -> dict[str, np.ndarray]:
    """What a file remembers, zero where an episode begins."""
    kept = {}
    for port in metadata.inputs:
        if port.role == "memory":
            before = memory.get(port.name, np.zeros((len(started), *port.shape), port.dtype))
            where = started.reshape(-1, *[1] * len(port.shape))
            kept[port.name] = np.where(where, np.zeros((), port.dtype), before)
    return kept


def mismatch(wrong: Disagreement, taken: ByPort, what: str) -> Mismatch:
    """The error for a difference in a row of ``taken``; ``what`` says where that was."""
    shown = {name: x[wrong.row].tolist() for name, x in taken.items()}
    return Mismatch(
        f"the file is not the same policy. {what}, on {brief(shown)}, it gave {wrong.name} {brief(wrong.file)}, and "
        f"the live agent {brief(wrong.live)} (tolerance {TOLERANCE:g}). Nothing was written."
    )


def same_graph(file: PolicyFile, other: PolicyFile, seen: ObsStream) -> bool:
    """Whether two files give the same answers to the last bit."""
    first = np.arange(min(len(seen), BATCHES[0]))
    taken = {**rows(seen.inputs, first), **begun(file.metadata, {}, np.ones(len(first), bool))}
    one, two = file(taken), other(taken)
    return all(x.tobytes() == two[name].tobytes() for name, x in one.items())


def brief(value: Any) -> str:
    """Numbers in a line of a bearable length."""
    text = " ".join(str(value).split())
    return text if len(text) <= 200 else f"{text[:197]}..."
