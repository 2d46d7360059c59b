"""How values are asked for: an agent is taught a table, and what it says, or does, is laid beside what is known.

An agent says values through `explain`: "q_values", or the "value" of an observation. One that says none is judged by
what it does where that matters, and is not asked elsewhere.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..probing.answers import LeftOut
from ..probing.names import called, number
from ..probing.subject import Subject
from ..probing.trial import Trial
from .known import Form, Known, Walk, mistaken, picture, solve
from .lesson import GAMMA, UPDATES, Glance, discount, in_time, learned, lesson, shown, taught, told

_CLOSE = 0.3  # how much nearer to a known mistake than to what is right, of their distance, for it to be named


def form_of(subject: Subject, *courses: str) -> Form:
    """How states are shown to the agent: as numbers if it takes these.

    Raises:
        LeftOut: it fits none of the courses.
    """
    forms: dict[str, Form] = {"vector": "vector", "indices": "index", "pixels": "pixels"}
    return forms[subject.fitting(*(courses or forms))[0]]


def ask(
    subject: Subject,
    known: Known,
    tolerance: float | Sequence[float],
    *,
    form: Form | None = None,
    continuous: bool = False,
    acts: bool = False,
    values: bool = True,
    cause: str = "",
    updates: int = UPDATES,
    **changes: Any,
) -> None:
    """Teach the agent a table; values, or where these do not come into it what it does, are to be as known.

    Args:
        subject: the agent.
        known: the table.
        tolerance: how far values may be off, in each of the states as they look, or one for all.
        form: how states are shown; None: as numbers, if it takes these.
        continuous: actions are numbers.
        acts: what it does is looked at; of values, those of actions alone, for others depend on what it does.
        cause: what is likely, where no known mistake leads to what came.
        values: values are looked at.
        updates: after which the lesson is given up.
        **changes: hyper-parameters of this lesson.
    """
    form = form or form_of(subject)
    name = called(subject.config, "gamma")
    given = [getattr(subject.config, name)] if name else []
    gamma = GAMMA if discount(subject) or not given else given[0]
    if not given:
        if not known.immediate:
            raise LeftOut("it has no hyper-parameter gamma, which these values depend on")
        gamma = GAMMA  # which of episodes of one step changes nothing
    if not known.immediate:
        in_time(subject)
    looks = sorted({look for look, row in zip(known.looks, known.table, strict=True) if row})
    states = [max(s for s, look in enumerate(known.looks) if look == at) for at in looks]  # all is legal in the last
    right = torch.from_numpy(solve(known, gamma))[states]  # (N, A)
    wrong = {text: torch.from_numpy(q)[states] for text, q in mistaken(known, gamma).items()}
    undecided: dict[str, Any] = (
        {"entropy_weight": 0.05} if acts else {}
    )  # else policies may make up their mind before they know
    trial = lesson(subject, Walk, {"known": known, "form": form, "continuous": continuous}, **undecided, **changes)
    obs = shown([picture(look, max(known.looks) + 1, form) for look in looks], trial.spec)
    if not known.immediate:
        wrong |= _discounted_by_others(trial, known, gamma, states)
        if remembers(trial, obs):  # what comes later it only ever met with something to remember
            if known.limit:
                raise LeftOut("it remembers, and never met what would have followed a limit with as much to remember")
            at = [i for i, look in enumerate(looks) if look in {known.looks[s] for s in known.starts}]
            obs, right, tolerance = (
                obs[:, at],
                right[at],
                torch.tensor(tolerance).double().expand(len(looks))[at].tolist(),
            )
            wrong, looks = {text: q[at] for text, q in wrong.items()}, [looks[i] for i in at]
    most = torch.tensor(tolerance).double().expand(len(looks))

    def look(trial: Trial) -> Glance:
        said = told(trial, obs)
        if acts:
            done = trial.act(obs)
            chosen = (done.flatten(2)[..., 0] > 0).long() if continuous else done  # (S, N)
            best = right.argmax(-1)
            wrongly = (chosen != best) & (right[:, 0] != right[:, 1])
            if bool(wrongly.any()):
                worst = int(wrongly.sum(1).argmax())
                return Glance(False, f"the actions {best.tolist()}", f"{chosen[worst].tolist()}", cause)
        if "q_values" in said and values:
            return judged(said["q_values"], right, most, wrong, cause)
        if acts:
            return Glance(True)
        if "value" not in said or known.forbidden:
            raise LeftOut(f"it says no values{' of actions' if known.forbidden else ''}: explain gives none")
        states = {text: q.amax(-1, keepdim=True) for text, q in wrong.items()}
        return judged(said["value"].unsqueeze(-1), right.amax(-1, keepdim=True), most, states, cause)

    needs = f"of episodes that a limit cuts after {known.limit} steps" if known.limit else ""
    learned(subject, taught(trial, look, updates=updates, needs=needs))


def _discounted_by_others(trial: Trial, known: Known, gamma: float, states: list[int]) -> dict[str, Tensor]:
    """What it learns where another hyper-parameter is taken for the discount."""
    fields = ((name, getattr(trial.config, name)) for name in type(trial.config).model_fields)
    others = {name: x for name, x in fields if number(x) and 0.2 < x < 1 and abs(x - gamma) > 0.05}
    return {
        f"{name}, {x:g}, is taken for the discount": torch.from_numpy(solve(known, x))[states]
        for name, x in others.items()
    }


def remembers(trial: Trial, obs: Tensor) -> bool:
    """Whether what it says of an observation depends on the one before, in the same episode."""
    one = obs[:, :1]
    first = told(trial, one)
    for _ in range(2):
        trial.act(one, begin=False)
    with torch.no_grad():
        after = trial.explain(one)
    trial.agent.begin(torch.ones(one.shape[:2], dtype=torch.bool), explore=False)
    return any(not torch.equal(x, after[name].double()) for name, x in first.items())


def judged(came: Tensor, right: Tensor, most: Tensor, wrong: dict[str, Tensor], cause: str) -> Glance:
    """Whether values are right, and if not, what mistake leads to what came.

    Args:
        came: (S, N, A), of every seed.
        right: (N, A).
        most: (N,), how far each may be off.
        wrong: known mistakes, and what they lead to, (N, A).
        cause: if it is none of these.
    """
    off = (came - right).abs().amax(-1)  # (S, N)
    if bool((off <= most).all()):  # NaN is not
        return Glance(True)
    worst = int((off - most).amax(1).nan_to_num(torch.inf).argmax())
    distances = {text: float((came.mean(0) - q).abs().max()) for text, q in wrong.items() if not _alike(q, right, most)}
    nearest = min(distances, key=distances.__getitem__, default="")
    if nearest and distances[nearest] < _CLOSE * float((wrong[nearest] - right).abs().max()):
        return Glance(False, f"the values {_numbers(right)}", _numbers(came[worst]), nearest, known=True)
    return Glance(False, f"the values {_numbers(right)}", _numbers(came[worst]), cause)


def _alike(one: Tensor, other: Tensor, most: Tensor) -> bool:
    return bool(((one - other).abs().amax(-1) <= most).all())


def _numbers(values: Tensor) -> str:
    """Of each state, the values of its actions, or the one that they share."""
    states = []
    for own in values.tolist():
        texts = [f"{x:.2f}" for x in own]
        states.append(texts[0] if len(set(texts)) == 1 else f"({', '.join(texts)})")
    return ", ".join(states)
