"""Whether two answers are the same: actions to the last bit, numbers within a tolerance; and what is a tie."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..border.spaces import ActionCodec
from ..tracing.live import Answer, ByPort

APART = 2  # times what the live agent's answers lie apart: so far, rounding may carry another order of sums
TOLERANCE = 1e-5  # of numbers, of max(1, the largest of them)
AskAgain = Callable[[int], list[Answer]]


class Disagreement(NamedTuple):
    """Where a file gave something else: the row, the name of the output, and what each gave."""

    row: int
    name: str
    file: Any
    live: Any


class Agreement(NamedTuple):
    """Of a batch.

    ``largest`` is the largest difference of numbers, as `relative` has it; ``rounded`` counts the rows in which one is
    beyond the tolerance, and no further than twice what the live agent's own answers lie apart; ``tied`` says which
    actions are ties, (B,) bool; ``wrong`` is the first difference that is none of these.
    """

    largest: float
    rounded: int
    tied: np.ndarray
    wrong: Disagreement | None


def compared(given: ByPort, live: Answer, codec: ActionCodec, outputs: Sequence[str], again: AskAgain) -> Agreement:
    """What a file gave beside what the live agent gave.

    Numbers of an output are measured by the largest of them: what rounding does to one is of the size of what was added
    up for all. Some networks magnify it, so that the live agent itself gives others in batches of another size. So a
    row that is further away is asked about in other ways that are the same to float32 (`LivePolicy.again`), and the
    file may be as far from the live agent's answer as those lie apart, twice.

    Where a seed's two best values lie within that tolerance of each other, either action is its best: a vote that comes
    out otherwise by that is a tie, and no difference. So it is where a whole number was rounded the other way, from
    within the tolerance of the middle.

    Args:
        given: by the file.
        live: by the live agent.
        codec: of the actions.
        outputs: names of what the file gives.
        again: asks the live agent about a row in other ways.
    """
    action, whole = given["action"], given["action"].dtype.kind != "f"
    differing = (action != live.action).reshape(len(action), -1).any(1)
    numbers = {name: x for name, x in live.shown.items() if name in outputs}
    if not whole:
        numbers["action"] = live.action
    distances = {name: relative(given[name], x) for name, x in numbers.items()}
    far = np.max([*distances.values(), np.zeros(len(action))], 0) > TOLERANCE
    allowed = {name: np.full(len(action), TOLERANCE) for name in distances}  # (B,) each
    tied = np.zeros(len(action), bool)
    for i in np.flatnonzero(far | (differing if whole else False)).tolist():
        others = again(i)
        for name, own in allowed.items():
            own[i] = max(TOLERANCE, APART * _apart([numbers[name][i : i + 1], *_named(others, name)]))
        if whole and differing[i]:
            tolerance = max([TOLERANCE, *(own[i] for own in allowed.values())])
            tied[i] = _is_tie(action[i], live, i, codec, tolerance)
    largest = max((float(x.max(initial=0.0)) for x in distances.values()), default=0.0)
    wrong = None
    for name, distance in distances.items():
        wrong = wrong or _first(name, distance > allowed[name], given[name], numbers[name])
    if whole:
        wrong = wrong or _first("action", differing & ~tied, action, live.action)
    return Agreement(largest, int(far.sum()), tied, wrong)


def _named(answers: list[Answer], name: str) -> list[np.ndarray]:
    return [answer.action if name == "action" else answer.shown[name] for answer in answers]


def relative(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(B,): the largest |x - y| of each row, of max(1, the row's largest |y|); infinite where one is not finite and the
    other another thing."""
    a, b = (part.astype(np.float64).reshape(len(part), -1) for part in (x, y))  # (B, n)
    if a.shape != b.shape:
        return np.full(len(b), np.inf)
    finite = np.isfinite(a) & np.isfinite(b)
    with np.errstate(invalid="ignore"):
        distance = np.abs(a - b)
    distance[~finite] = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.inf)[~finite]
    return np.asarray(distance.max(1, initial=0.0) / np.maximum(1, np.where(finite, np.abs(b), 0).max(1, initial=0.0)))


def _apart(answers: list[np.ndarray]) -> float:
    """How far several answers to the same lie apart, (n, ...) each, as `relative` has it."""
    flat = np.concatenate(answers).astype(np.float64)
    flat = np.where(np.isfinite(flat), flat, 0.0).reshape(len(flat), -1)
    return float(np.ptp(flat, 0).max(initial=0.0) / max(1, np.abs(flat).max(initial=0.0)))


def _first(name: str, wrong: np.ndarray, given: np.ndarray, live: np.ndarray) -> Disagreement | None:
    rows = np.flatnonzero(wrong)
    if not len(rows):
        return None
    i = int(rows[0])
    return Disagreement(i, name, given[i].tolist(), live[i].tolist())


def _is_tie(action: np.ndarray, live: Answer, i: int, codec: ActionCodec, tolerance: float) -> bool:
    """Whether another action of row ``i`` comes of values that are the same within the tolerance."""
    if not codec.counts:  # whole numbers of a Box
        middle = live.chosen[:, i].mean(0, dtype=np.float64)
        return bool((np.abs(middle - action) <= 0.5 + tolerance * np.maximum(1, np.abs(middle))).all())
    values = live.of_seeds.get("q_values", live.of_seeds.get("probabilities"))
    if not codec.discrete or values is None:
        return False
    a, own = int(action) - codec.start, values[:, i].astype(np.float64)  # own: (S, A)
    if not 0 <= a < own.shape[1]:
        return False
    highest = own.max(1, keepdims=True)
    size = np.abs(np.where(np.isfinite(own), own, 0.0)).max(1, keepdims=True)
    best = own >= highest - tolerance * np.maximum(1, size)  # (S, A), what each may choose as well
    chosen = live.chosen[:, i]
    if not best[np.arange(len(chosen)), chosen].all():  # it acts by something else
        return False
    votes = np.where(best[:, a], a, chosen)  # as many for it as may be
    counts = np.bincount(votes, minlength=own.shape[1])
    return bool(counts[a] == counts.max())
