"""The part of a report on what the agents look like inside: of each run what stands out, and its small multiples."""

from collections.abc import Sequence
from html import escape
from itertools import zip_longest
from typing import NamedTuple

from ..errors import RlbenchError, first_line
from ..inspection.whole import Inspection, inspect
from ..process.places import shown
from ..recipe.registry import table_name
from ..runfolder.layout import DEBUG
from ..runfolder.reader import Reader
from ..runfolder.tables import Table
from ..user_code.refs import confirmed
from .findings import ContestantRuns
from .inside import WORDS, drawn_tables, findings_list, multiples
from .inside_courses import course_charts
from .results import plural

RUNS = 8  # that are looked into
DRAWN = 2  # of these, with pictures: each takes a second
SEEDS = 5  # of a run
TALLER = ("Values and returns", "Gradient")  # tables whose pictures are taller than others: they stand in one row
LAYERS = 7  # pictures of layers, the first of them of all together


class RunInside(NamedTuple):
    """What is known of one run.

    Attributes:
        label: whose run it is.
        folder: as it is printed.
        found: None where it cannot be looked into.
        why: a sentence on that.
        courses: debug.csv, by seed; {} where there is none.
        damage: what is wrong with that.
    """

    label: str
    folder: str
    found: Inspection | None
    why: str
    courses: Table
    damage: str


def look_inside(
    contestants: Sequence[ContestantRuns], agents: Sequence[str], imports: Sequence[str]
) -> tuple[list[RunInside], int]:
    """Look into the newest checkpoints of the first runs of each contestant, and say how many were left out.

    Nothing in their folders changes. What cannot be looked into has a sentence.

    Args:
        contestants: those of the report.
        agents: code of agents that the user named.
        imports: modules that the user named.
    """
    rounds = zip_longest(*([(c.label, folder.reader) for folder in c.folders] for c in contestants))
    runs = [pair for one in rounds for pair in one if pair is not None]  # the first of each, the second of each, ...
    return [_one(label, reader, agents, imports) for label, reader in runs[:RUNS]], len(runs[RUNS:])


def inside(looks: Sequence[RunInside], left_out: int) -> str:
    """The section; "" where nothing was asked for."""
    parts, drawn = list[str](), 0
    for i, one in enumerate(looks):
        name = one.label if one.label == one.folder else f"{one.label}: {one.folder}"
        head = f"<h3>{escape(name)}</h3>" if len(looks) > 1 else ""
        pictures = drawn < DRAWN and bool(one.found or one.courses)
        drawn += pictures
        parts.append(f'<div class="look">{head}{_shown(one, f"k{i}-", pictures=pictures)}</div>')
    if left_out or any(one.found for one in looks[DRAWN:]):
        words = f"{plural(left_out, 'more run')} not looked into here" if left_out else "Pictures of the others"
        parts.append(f'<p class="missing">{words}: rlbench inspect RUN --html FILE</p>')
    if any(one.found for one in looks):
        parts.append(f'<p class="missing words">{escape(WORDS)}</p>')
    return "".join(parts)


def _one(label: str, reader: Reader, agents: Sequence[str], imports: Sequence[str]) -> RunInside:
    courses, damage = reader.table(DEBUG)
    reader.forget_tables()
    found, why = None, ""
    try:
        recipe = reader.model()
        given = next((agent for agent in agents if table_name(agent) == table_name(recipe.agent)), None)
        found = inspect(reader, agent=given, imports=confirmed(recipe.imports, imports).used, most=SEEDS)
    except RlbenchError as e:
        why = first_line(e).rstrip(".")
    return RunInside(label, shown(reader.folder), found, why, courses, damage)


def _shown(one: RunInside, prefix: str, *, pictures: bool) -> str:
    parts = list[str]()
    found = one.found
    if found is None:
        parts.append(f'<p class="missing">The agent cannot be looked into: {escape(one.why)}.</p>')
    else:
        states = plural(found.seeds[0].observations, "state")
        of = "the seed" if len(found.seeds) == 1 else f"each of {plural(len(found.seeds), 'seed')}"
        about = f"After {found.env_steps:,} env steps, asked about {states} of {of}: {found.source}."
        parts += [f"<p>{escape(about)}</p>", findings_list(found)]
    notes = [*(found.notes if found else ()), *[f"{one.damage}: what follows is left out"][: bool(one.damage)]]
    parts += [f'<p class="missing">{escape(note)}.</p>' for note in notes]
    if pictures:
        if found:
            tables = list(drawn_tables(found, prefix))
            heads = sorted((head for head, _, _ in tables), key=lambda head: head not in TALLER)
            charts = {head: drawn[:LAYERS] if head == "Layers" else drawn for head, _, drawn in tables}
            parts.append(multiples([chart for head in heads for chart in charts[head]]))
            rows = "".join(f"<h4>{escape(head)}</h4>{html}" for head, html, _ in tables)
            parts.append(f"<details><summary>In numbers</summary>{rows}</details>")
        if one.courses and (courses := course_charts(one.courses, f"{prefix}d")):
            parts.append(f"<h3>While it trained</h3>{multiples(courses)}")
    return "".join(parts)
