"""What came of a check: a row for each thing that was asked, as text, as JSON, and as an error."""

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

HOLDS, FAILS, LEFT_OUT = "holds", "fails", "left out"
WIDTH = 110  # characters of a line at most; what follows a colon or says more stands below, set in
INSET, BELOW = 35, 12  # where what a row asks begins, and what there is to say of it
_COLOURS = {HOLDS: "green", FAILS: "red", LEFT_OUT: "yellow"}


class Colouring(Protocol):
    """`click.style`, as far as it is used here."""

    def __call__(self, text: str, *, fg: str | None = None, bold: bool | None = None) -> str: ...


def bare(text: str, *, fg: str | None = None, bold: bool | None = None) -> str:
    """No colours."""
    return text


class CheckedRow(NamedTuple):
    """One row, and what came of it.

    Attributes:
        name: of the row.
        group: of the row.
        holds: what holds where it does.
        status: "holds", "fails" or "left out".
        evidence: where it fails: what was expected, what came, on which course, after how many updates.
        cause: where it fails: the likely cause.
        why: where it was left out.
        told: what it has to tell besides.
        printed: what the agent's code printed meanwhile.
        seconds: that it took.
    """

    name: str
    group: str
    holds: str
    status: str
    evidence: str = ""
    cause: str = ""
    why: str = ""
    told: str = ""
    printed: str = ""
    seconds: float = 0.0

    def lines(self, style: Colouring = bare, width: int = WIDTH) -> list[str]:
        """As it stands in the table, with what there is to say of it below."""
        label = "FAILS" if self.status == FAILS else self.status
        head = style(f"{label:9}", fg=_COLOURS[self.status], bold=self.status == FAILS)
        first, *more = textwrap.wrap(self.holds, width - INSET)
        lines = [f"  {head} {self.name:22} {first}", *(" " * INSET + part for part in more)]
        for text in (self.evidence, self.cause and f"Likely: {self.cause}", self.why, self.told):
            for part in text.splitlines():
                if len(part) <= width - BELOW:  # with its columns, if it has some
                    lines.append(" " * BELOW + part)
                    continue
                lines += textwrap.wrap(part, width, initial_indent=" " * BELOW, subsequent_indent=" " * BELOW)
        return lines


class CheckReport(NamedTuple):
    """What came of a check.

    Attributes:
        agent: its name.
        courses: on which it was looked at; an environment of the user's own among them.
        misfits: course -> why it does not fit there.
        changes: what became of its hyper-parameters there, "name 1,000 -> 20" each.
        rows: all that were asked, in order.
        unasked: names of rows that were not asked since time was short.
        seconds: that all took.
    """

    agent: str
    courses: Sequence[str]
    misfits: dict[str, str]
    changes: Sequence[str]
    rows: Sequence[CheckedRow]
    unasked: Sequence[str]
    seconds: float

    @property
    def failures(self) -> list[CheckedRow]:
        return [row for row in self.rows if row.status == FAILS]

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    def json(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        rows = [row._asdict() for row in self.rows]
        return {**self._asdict(), "ok": self.ok, "rows": rows}

    def text(self, style: Colouring = bare) -> str:
        """A table for a terminal."""
        lines = self.head()
        for i, row in enumerate(self.rows):
            if i == 0 or row.group != self.rows[i - 1].group:
                lines += ["", style(row.group, bold=True)]
            lines += row.lines(style)
        return "\n".join([*lines, "", *self.foot()])

    def head(self) -> list[str]:
        """What was checked, and where."""
        return head(self.agent, self.courses, self.misfits, self.changes)

    def foot(self, width: int = WIDTH) -> list[str]:
        """What is to be said of all rows together."""
        printed = {row.name: row.printed.strip() for row in self.rows if row.printed.strip()}
        lines = []
        if printed:
            first, where = next(iter(printed.values())).splitlines()[0], list(printed)
            others = f" and {len(where) - 3} rows more" if len(where) > 3 else ""
            said = f"note: it prints, in {', '.join(where[:3])}{others}: {first[:80]!r}"
            lines += textwrap.wrap(said, width, break_long_words=False)
        count = {status: sum(row.status == status for row in self.rows) for status in (HOLDS, FAILS, LEFT_OUT)}
        failing = "nothing fails" if self.ok else f"{count[FAILS]} {'fails' if count[FAILS] == 1 else 'fail'}"
        left = f", {count[LEFT_OUT]} left out" if count[LEFT_OUT] else ""
        hold = f"{count[HOLDS]} {'row holds' if count[HOLDS] == 1 else 'rows hold'}"
        if self.unasked:
            unasked = f"not asked, since time was short: {', '.join(self.unasked)}"
            lines += textwrap.wrap(unasked, width, break_on_hyphens=False)
        return [*lines, f"{self.agent}: {hold}, {failing}{left}; {self.seconds:.0f}s."]

    def raise_for_failures(self) -> None:
        """
        Raises:
            AssertionError: something fails; says what, with the evidence.
        """
        __tracebackhide__ = True
        if not self.ok:
            lines = [line for row in self.failures for line in row.lines()]
            raise AssertionError("\n".join([f"{self.agent} does not conform:", *lines]))


def head(
    agent: str, courses: Sequence[str], misfits: dict[str, str], changes: Sequence[str], width: int = WIDTH
) -> list[str]:
    """What is said before the table."""
    lines = textwrap.wrap(f"{agent} on {', '.join(courses)}" if courses else agent, width, break_on_hyphens=False)
    for why in dict.fromkeys(misfits.values()):
        where = ", ".join(course for course, other in misfits.items() if other == why)
        lines += textwrap.wrap(f"not on {where}: {why}", width, break_on_hyphens=False)
    if changes:
        lines += textwrap.wrap(f"so that all comes sooner: {', '.join(changes)}", width, break_on_hyphens=False)
    return lines
