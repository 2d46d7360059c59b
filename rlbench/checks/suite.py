"""Asks the rows of an agent, each in a process of its own, and tells what came."""

import contextlib
import fnmatch
import importlib
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from ..agent import Agent
from ..errors import RlbenchError, UsageError, first_line
from ..learner import Learner
from ..lessons import chances, continuous, frozen, remembering, values
from ..probing.answers import Fails, LeftOut
from ..probing.apart import apart
from ..probing.fault import raised, under_way
from ..probing.request import subject
from ..probing.rows import ROWS, Question
from ..probing.subject import Fit, Subject
from ..recipe.registry import find_agent, given_class
from . import (
    cadence,
    cost,
    devices,
    episodes,
    exploring,
    heeding,
    interface,
    learning,
    replaying,
    seeds,
    sources,
    state,
)
from .results import FAILS, HOLDS, LEFT_OUT, CheckedRow, CheckReport

ORDER = (  # in which rows are asked: what others build on comes first
    interface, devices, sources, replaying, exploring, episodes, learning, cadence, heeding, frozen, values, chances,
    continuous, remembering, state, seeds, cost,
)  # fmt: skip
PATIENCE = 3  # a row may take so many times its limit: other programs may run, too
NO_PATIENCE = 5.0  # seconds, once a row has hung
HUNG = "Gave up after"
BUILDS = Question("builds", "it can be built where it fits", "interface", lambda subject: None, 20.0, True)


class Watching:
    """Told how a check goes on; does nothing."""

    def begun(self, subject: Subject) -> None:
        """Where it fits is known."""

    def asked(self, row: CheckedRow) -> None:
        """A row has been asked."""


def check(
    agent: type[Agent] | type[Learner] | str,
    *,
    env: str | None = None,
    overrides: Iterable[str] | Mapping[str, Any] = (),
    rows: Iterable[str] = (),
    without: Iterable[str] = (),
    quick: bool = False,
    seed: int = 0,
    imports: Sequence[str] = (),
    limit: float | None = None,
    watching: Watching | None = None,
) -> CheckReport:
    """Ask whether an agent conforms.

    Args:
        agent: a class, or its name, ``file.py:Class`` or ``package.module:Class``.
        env: rows that can look at any environment look at this one, and not at courses of ours.
        overrides: hyper-parameters, "key=value" texts or a mapping.
        rows: names of rows or groups, or patterns of them; empty: all.
        without: likewise, to be left out.
        quick: ask only the rows that take little, less thoroughly.
        seed: of all random numbers.
        imports: modules that register ``env``.
        limit: seconds for each row, in place of its own.
        watching: told how it goes on.

    Raises:
        UsageError: there is no such agent, row, environment or hyper-parameter.
    """
    one = prepared(agent, overrides, env=env, imports=imports, seed=seed, quick=quick)
    return ask(one, list(rows), list(without), limit=limit, watching=watching)


def prepared(
    agent: type[Agent] | type[Learner] | str,
    overrides: Iterable[str] | Mapping[str, Any] = (),
    *,
    env: str | None = None,
    imports: Sequence[str] = (),
    seed: int = 0,
    quick: bool = False,
) -> Subject:
    """What is to be checked, as `check` takes it; the agent's file is imported, and nothing is built."""
    try:
        entry = find_agent(agent if isinstance(agent, str) else given_class(agent))
    except UsageError as e:  # it speaks of an option that names the agent elsewhere
        raise UsageError(str(e).removeprefix("--agent ")) from e
    return subject(entry, overrides, env=env, imports=imports, seed=seed, quick=quick)


def ask(
    one: Subject,
    rows: Sequence[str] = (),
    without: Sequence[str] = (),
    *,
    limit: float | None = None,
    watching: Watching | None = None,
) -> CheckReport:
    """As `check`, of what was `prepared`."""
    began = time.perf_counter()
    wanted, unasked = _chosen(rows, without, one.quick)
    watching = watching or Watching()
    first, fit = _ask(BUILDS, lambda: one.try_courses()._asdict(), one, limit or PATIENCE * BUILDS.limit)
    built = first.status == HOLDS
    if built:
        one.fit = Fit(**fit)
    watching.begun(one)
    done, known = [first], {first.evidence: first.name}
    watching.asked(first)
    for row in wanted:
        seconds = limit or PATIENCE * row.limit
        if any(before.evidence.startswith(HUNG) for before in done):  # the others will likely hang as well
            seconds = min(seconds, NO_PATIENCE)
        if not built:
            asked = CheckedRow(row.name, row.group, row.holds, LEFT_OUT, why="it cannot be built")
        else:
            asked = _ask_where_it_fits(row, one, seconds)
        same = known.setdefault(asked.evidence, row.name)
        if asked.status == FAILS and same != row.name:
            asked = asked._replace(evidence=f"The same as in {same}.", cause="")
        done.append(asked)
        watching.asked(asked)
    return CheckReport(one.name, *fitting(one), one.changes, done, unasked, time.perf_counter() - began)


def fitting(one: Subject) -> tuple[list[str], dict[str, str]]:
    """Where it fits, and where not, and why."""
    fits = [one.described(place) for place, why in one.fit.why.items() if not why]
    return fits, {one.described(place): why for place, why in one.fit.why.items() if why}


def assert_conforms(agent: type[Agent] | type[Learner] | str, **how: Any) -> None:
    """`check` for tests; takes what it takes.

    Raises:
        AssertionError: something fails; says what, with the evidence.
    """
    __tracebackhide__ = True
    check(agent, **how).raise_for_failures()


def names() -> list[str]:
    """Of all rows, in order; a test may ask one at a time."""
    return [r.name for r in _ordered()]


def _ordered() -> list[Question]:
    places = {module.__name__: i for i, module in enumerate(ORDER)}
    return sorted(ROWS.values(), key=lambda r: places.get(r.ask.__module__, len(places)))


def _chosen(rows: Sequence[str], without: Sequence[str], quick: bool) -> tuple[list[Question], list[str]]:
    """The rows to ask, and the names of those that are not asked since time is short.

    Raises:
        UsageError: a pattern matches none.
    """

    def matching(pattern: str) -> set[str]:
        found = {r.name for r in ROWS.values() if any(fnmatch.fnmatchcase(x, pattern) for x in (r.name, r.group))}
        if not found and pattern not in (BUILDS.name, BUILDS.group):
            groups = ", ".join(dict.fromkeys(r.group for r in _ordered()))
            raise UsageError(f"there is no row {pattern!r}. Groups: {groups}. Rows: {', '.join(names())}")
        return found

    named = set().union(*map(matching, rows)) if rows else set(ROWS)
    left = named - set().union(*map(matching, without))
    chosen = [r for r in _ordered() if r.name in left]
    if not quick or rows:
        return chosen, []
    return [r for r in chosen if r.quick], [r.name for r in chosen if not r.quick]


def _ask(row: Question, act: Callable[[], Any], one: Subject, seconds: float) -> tuple[CheckedRow, Any]:
    """What came of a row, and what ``act``, which asks it, gave within so many seconds; or where it fails, the course
    that the agent may not be meant for, or ""."""
    ended = apart(partial(_answer_and_imports, act, one), seconds)
    answer, imports = ended.value or (None, [])
    _import(imports)
    asked = CheckedRow(row.name, row.group, row.holds, HOLDS)
    asked = asked._replace(printed=ended.printed, seconds=round(ended.seconds, 3))
    if answer is None:
        where = under_way(ended.stack, one.cls) or "where none of its own code was under way"
        if ended.hung:
            evidence, cause = (
                f"{HUNG} {seconds:g}s, at {where}.",
                "it waits or loops there; or takes long: --limit",
            )
        else:
            evidence, cause = f"Its process {ended.died}, at {where}.", "an agent ends no process, by whatever it calls"
        return asked._replace(status=FAILS, evidence=evidence, cause=cause), ""
    if answer["status"] != HOLDS:
        misfit = answer.pop("misfit", "")
        return asked._replace(**answer), misfit
    told = answer["value"] if isinstance(answer["value"], str) else ""
    return asked._replace(told=told), answer["value"]


def _ask_where_it_fits(row: Question, one: Subject, seconds: float) -> CheckedRow:
    """What came of a row. Courses on which it raises, though not on the first, are told of once, and left from then."""
    asked, misfit = _ask(row, partial(row.ask, one), one, seconds)
    first, others = asked, []
    while asked.status == FAILS and misfit:
        one.fit.why[misfit] = f"it raised there, in {row.name}"
        asked, misfit = _ask(row, partial(row.ask, one), one, seconds)
        others += [misfit] * bool(misfit)
    likewise = f" Likewise on {', '.join(others)}." if others else ""
    return first._replace(evidence=first.evidence + likewise)


def _answer_and_imports(act: Callable[[], Any], one: Subject) -> tuple[dict[str, Any], list[str]]:
    """What came of ``act``, and which modules of torch's it was the first to need."""
    before = set(sys.modules)
    answer = _answer(act, one)
    return answer, [name for name in sys.modules if name.startswith("torch.") and name not in before]


def _import(modules: list[str]) -> None:
    """Once, so that not every row has to: `torch.optim` takes seconds to import what it needs."""
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in modules:
            importlib.import_module(name)


def _answer(act: Callable[[], Any], one: Subject) -> dict[str, Any]:
    """What came of ``act``, as JSON has it."""
    try:
        return {"status": HOLDS, "value": act()}
    except Fails as e:
        return {"status": FAILS, "evidence": e.evidence, "cause": e.cause}
    except LeftOut as e:
        return {"status": LEFT_OUT, "why": str(e)}
    except BaseException as e:
        text = str(e) if isinstance(e, RlbenchError) else raised(e, one.cls)
        if text is None:  # by what it gave, or by a defect of ours
            where = traceback.extract_tb(e.__traceback__)[-1]
            text = f"{type(e).__name__}: {first_line(e)} ({where.filename}:{where.lineno})"
        misfit = one.course if one.course and one.course != one.first else ""  # many agents are for some spaces alone
        cause = (
            f"a slip; or it is not meant for {misfit}, which it is to say in __init__: raise rlbench.UsageError. "
            "Other rows do not look there"
        )
        evidence = f"It raised, {one.whereabouts()}: {text}"
        return {"status": FAILS, "evidence": evidence, "cause": cause if misfit else "", "misfit": misfit}
