"""`write_sweep_report`: a sweep on one self-contained page: cells, verdicts, heat map, curves, how to repeat it."""

import datetime
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..cells.attempt import read_attempt
from ..errors import RlbenchError
from ..judge.measures import measure
from ..live.words import mean_text
from ..play.html_page import asset, check_name, document, write_page
from ..plots.heatmap import HeatMap, draw_heat_map
from ..process.places import absolute, shown
from ..report.appendix import method, setting
from ..report.charts import charts, inline, shown_chart
from ..report.findings import ContestantRuns, Findings, contestant_runs, findings_of
from ..report.heat import heat_map
from ..report.results import listed, numbers, plural, verdict
from ..runfolder.reader import readers_of
from ..sweep.folder import SweepFolder, open_sweep
from ..sweep.index import CellState
from ..sweep.panel import percent
from ..sweep.standing import STATES, SweepPace
from ..units import duration
from ..user_code.commands import command
from ..version import __version__
from .contest import Contest, contest_of, judge_read

MOST_CURVES = 8  # contestants in the pictures of one environment
MOST_LOGS = 20  # failed cells whose last lines are on the page
STYLE = """
.heat { overflow-x: auto; margin: 0 0 8px; } .heat svg { display: block; height: auto; }
.heat text { font-family: inherit; } .heat figcaption { font-size: 13.5px; color: var(--soft); }
td.done { color: var(--good); } td.failed { color: var(--bad); font-weight: 700; } td.running { color: var(--accent); }
td.stopped { color: var(--open); } td.queued, td.waiting { color: var(--soft); }
"""


class SweepReport(NamedTuple):
    """What was written."""

    path: Path
    size: int  # bytes
    verdicts: tuple[str, ...]
    warnings: tuple[str, ...]


def write_sweep_report(folder: Path, out: Path | str = "report.html", *, title: str | None = None) -> SweepReport:
    """Write a report on a sweep, however far it is.

    Args:
        folder: of the sweep.
        out: the page; it appears whole or not at all.
        title: of the page; None: what the folder is called.

    Raises:
        UsageError: it is no sweep, or ``out`` is no name for a page.
        RunFolderError: the sweep is damaged, or ``out`` cannot be written.
    """
    path = absolute(out)
    check_name(path, "--out report.html")
    sweep = open_sweep(folder)
    states = sweep.states()
    contest = contest_of(sweep, states)
    read = [
        contestant_runs(label, readers_of(contest.runs[label])) for label in contest.labels if label in contest.runs
    ]
    found, heat = _judged(contest, read) if read else (None, None)
    size = write_page(path, _page(sweep, states, found, heat, title or f"Sweep {shown(sweep.path)}"), "--out FILE")
    verdicts = found.comparison.verdicts if found and found.comparison else ()
    return SweepReport(path, size, tuple(verdicts), found.warnings if found else contest.missing)


def _judged(contest: Contest, read: Sequence[ContestantRuns]) -> tuple[Findings, HeatMap | None]:
    """The numbers and the heat map; without a verdict where there is nothing to compare yet."""
    scored = [one.scored for one in read if one.scored]
    try:
        if len(scored) < 2:
            raise RlbenchError("one contestant")
        judged = judge_read(contest, scored)
    except RlbenchError:
        found = findings_of(read)
        found = found._replace(warnings=(*contest.missing, *found.warnings))
        envs = [env for env in contest.envs if any(env in one.seeds for one in scored)]
        tables = [measure(env, [one for one in scored if env in one.seeds]).table for env in envs]
        return found, heat_map(
            tables, labels=contest.labels, envs=contest.envs, words=contest.words
        ) if tables else None  # fmt: skip
    return findings_of(read, judged.comparison), judged.heat


def _page(
    sweep: SweepFolder, states: Mapping[str, CellState], found: Findings | None, heat: HeatMap | None, title: str
) -> str:
    parts = [
        ("verdict", "Verdict", verdict(found) if found else "<p>No cell has finished yet.</p>"),
        ("heat", "Agents and environments", _heat(heat)),
        ("curves", "Curves", _curves(found, heat)),
        ("cells", "Cells", _cells(sweep, states)),
        ("numbers", "In numbers", numbers(found) + listed("Notes", found.notes, "notes") if found else ""),
        ("setting", "Environments, versions, machines", setting(_one_each(found)) if found else ""),
        ("repeat", "How to repeat it", _repeat(sweep)),
        ("method", "How the numbers are made", method(found) if found else ""),
    ]
    body = "".join(f'<section id="{name}"><h2>{head}</h2>{html}</section>' for name, head, html in parts if html)
    links = "".join(f'<a href="#{name}">{head}</a>' for name, head, html in parts if html)
    main = f"""<header><h1>{escape(title)}</h1><p>{escape(_about(sweep, states))}</p>
<nav aria-label="Contents">{links}</nav></header>
{body}
<footer>Made by rlbench {__version__}. One file, without network: save it, send it, open it anywhere.</footer>"""
    return document(title, asset("report.css") + STYLE, main, asset("report.js"))


def _about(sweep: SweepFolder, states: Mapping[str, CellState]) -> str:
    """A line under the title."""
    standing = SweepPace().look(sweep.cells, states, 0.0)
    cells = ", ".join(f"{standing.counts[state]:,} {state}" for state in reversed(STATES) if state in standing.counts)
    labels, envs = {cell.label for cell in sweep.cells}, {cell.env for cell in sweep.cells}
    spent = duration(sum(state.seconds for state in states.values()))
    return (
        f"{plural(len(sweep.cells), 'cell')}: {cells}; {percent(standing.share)} of all env steps. "
        f"{plural(len(labels), 'contestant')} on {plural(len(envs), 'environment')}, {spent} of training together. "
        f"Report of {datetime.date.today().isoformat()}."
    )


def _heat(heat: HeatMap | None) -> str:
    if heat is None:
        return ""
    figure = draw_heat_map(heat)
    label = f"Heat map of {plural(len(heat.contestants), 'contestant')} by {plural(len(heat.envs), 'environment')}."
    wide = 72 * figure.get_size_inches()[0] * 1.15
    svg = inline(figure, "heat-", label).replace("<svg ", f'<svg width="{wide:.0f}" ', 1)
    return f'<figure class="heat">{svg}</figure>'


def _curves(found: Findings | None, heat: HeatMap | None) -> str:
    """Pictures of each environment: of many contestants, the baseline and those that score highest there."""
    parts = []
    for i, env in enumerate(found.envs if found else ()):
        assert found is not None
        here = [one for one in found.contestants if any(folder.facts.env == env for folder in one.folders)]
        kept, left_out = here, ""
        if len(here) > MOST_CURVES and heat is not None:
            best = sorted(here[1:], key=lambda one: -_value(heat, one.label, env))[: MOST_CURVES - 1]
            kept = [one for one in here if one is here[0] or one in best]
            left_out = (
                f'<p class="missing">The baseline and the {len(best)} that score highest; {len(here)} in all.</p>'
            )
        if made := charts(kept, env, f"p{i}"):
            parts.append(f'<h3>{escape(env)}</h3><div class="charts">{"".join(map(shown_chart, made))}</div>{left_out}')
    return "".join(parts)


def _value(heat: HeatMap, label: str, env: str) -> float:
    value = heat.squares[label, env].value
    return -math.inf if math.isnan(value) else value


def _cells(sweep: SweepFolder, states: Mapping[str, CellState]) -> str:
    """A line for every cell; failed ones first in words, with the last that their logs say."""
    rows = []
    for cell in sweep.cells:
        state = states[cell.name]
        returns = np.array(state.returns, np.float64)
        known = returns[np.isfinite(returns)]
        value = f"{known.mean():.10g}" if len(known) else "-inf"
        rows.append(
            f'<tr><td>{escape(cell.name)}</td><td class="{state.state}">{state.state}</td>'
            f'<td data-v="{state.attempt}" class="n">{state.attempt or "–"}</td>'
            f'<td data-v="{state.env_steps}" class="n">{state.env_steps:,}</td>'
            f'<td data-v="{value}" class="n">{escape(mean_text(returns)) if len(known) else "–"}</td>'
            f'<td data-v="{state.seconds:.0f}" class="n">{duration(state.seconds) if state.seconds else "–"}</td></tr>'
        )
    heads = [
        ("cell", ""),
        ("state", ""),
        *((name, " class='n'") for name in ("attempt", "env steps", "return", "time")),
    ]
    head = "".join(f"<th scope='col'{kind}>{name}</th>" for name, kind in heads)
    table = (
        '<div class="scroll" tabindex="0" role="region" aria-label="cells"><table class="seeds sortable"><thead><tr>'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
    folded = f"<details><summary>All {len(rows):,} cells</summary>{table}</details>" if len(rows) > 40 else table
    return _failed(sweep, states) + folded


def _failed(sweep: SweepFolder, states: Mapping[str, CellState]) -> str:
    failed = [cell for cell in sweep.cells if states[cell.name].state == "failed"]
    parts = []
    for cell in failed[:MOST_LOGS]:
        attempt = read_attempt(sweep.folder_of(cell))
        lines = escape("\n".join(attempt.lines)) if attempt and attempt.lines else ""
        message = escape(states[cell.name].message or "it says nothing")
        parts.append(f"<h4>{escape(cell.name)}</h4><p>{message}</p>" + (f"<pre>{lines}</pre>" if lines else ""))
    if len(failed) > MOST_LOGS:
        parts.append(f'<p class="missing">and {len(failed) - MOST_LOGS:,} more that failed.</p>')
    return f"<h3>{plural(len(failed), 'cell')} failed</h3>{''.join(parts)}" if failed else ""


def _one_each(found: Findings) -> Findings:
    """With the first run of each contestant alone: what the others share with it need not be told again."""
    return found._replace(
        contestants=tuple(one._replace(folders=one.folders[:1]) for one in found.contestants[:MOST_CURVES])
    )


def _repeat(sweep: SweepFolder) -> str:
    say = command("sweep", Path("sweep.toml"), "--out", Path("again"))
    more = [command("sweep", sweep.path), command("compare", sweep.path)]
    engine = str(sweep.about.get("engine", "local"))
    return (
        f"<p>Save this as sweep.toml. It was carried out on the engine {escape(engine)}, and comes out the same on any "
        "other with the same kind of CPU:</p>"
        f"<pre>{escape(sweep.file.text.strip())}</pre><pre>{escape(say)}</pre>"
        "<p>Where it lies now, it goes on, and is compared again, with:</p>"
        f"<pre>{escape(chr(10).join(more))}</pre>"
    )
