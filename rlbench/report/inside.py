"""`write_inside`: what is inside a trained agent on one self-contained page, for `rlbench inspect --html`."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from ..inspection.text import said, tables
from ..inspection.whole import Inspection
from ..play.html_page import asset, check_name, document, write_page
from ..process.places import absolute, shown
from ..version import __version__
from .charts import Chart, shown_chart
from .inside_charts import buffer_charts, feature_charts, gradient_charts, layer_charts, value_charts
from .results import plural

STYLE = """
.charts.small { grid-template-columns: repeat(auto-fill, minmax(min(100%, 290px), 1fr)); gap: 12px 20px;
  margin-bottom: 16px; }
.words { font-size: 13.5px; }
.inside { width: auto; min-width: 40%; }
.inside td, .inside th { white-space: nowrap; overflow-wrap: normal; }
.inside tbody th { min-width: 90px; }
"""

#: What the words of tables and pictures mean.
WORDS = """Dead: never above 0. Saturated: at a bound in 95 % of the states. Dormant: of a mean size of at most 2.5 % of
the layer's (Sokar et al. 2023, arXiv:2302.12902). Effective rank: singular values that make up 99 % of their sum (Kumar
et al. 2021, arXiv:2010.14498)."""

#: Title of a table -> the anchor of its section and what draws it.
CHARTS = {
    "Layers": layer_charts,
    "Features of the last hidden layer": feature_charts,
    "Values and returns": value_charts,
    "Gradient": gradient_charts,
    "Replay buffer": buffer_charts,
}


def write_inside(found: Inspection, out: Path | str, option: str = "--html FILE") -> int:
    """Write the page; it appears whole or not at all. Returns its size in bytes. ``option`` names another place.

    Raises:
        UsageError: another ending than .html.
        RunFolderError: it cannot be written.
    """
    path = absolute(out)
    check_name(path, "--html look.html")
    return write_page(path, page(found), option)


def page(found: Inspection) -> str:
    """The page itself."""
    title = f"Inside {found.agent} on {found.env}"
    about = (
        f"{shown(found.path)}, {plural(len(found.seeds), 'seed')}, after {found.env_steps:,} env steps. Asked about "
        f"{found.seeds[0].observations:,} states of each seed: {found.source}."
    )
    many = len(found.seeds) > 1
    notes = "".join(f"<li>{escape(note)}</li>" for note in found.notes)
    parts = [
        ("stands-out", "What stands out", findings_list(found), list[Chart]()),
        *((head.split()[0].lower(), head, html, drawn) for head, html, drawn in drawn_tables(found, "c")),
    ]
    sections = "".join(
        f'<section id="{name}"><h2>{head}</h2>{multiples(drawn)}{html}</section>' for name, head, html, drawn in parts
    )
    links = "".join(f'<a href="#{name}">{head}</a>' for name, head, _, _ in parts)
    how = (
        "In tables the median over seeds, and the worst seed in brackets; in pictures a line for each seed."
        if many
        else f"Of seed {found.seeds[0].seed}."
    )
    main = f"""<header><h1>{escape(title)}</h1><p>{escape(about)} {how}</p>
<nav aria-label="Contents">{links}</nav></header>
{f'<div class="notes"><ul>{notes}</ul></div>' if notes else ""}
{sections}
<footer>Made by rlbench {__version__}. {WORDS}</footer>"""
    return document(title, asset("report.css") + STYLE, main)


def drawn_tables(found: Inspection, prefix: str) -> Iterator[tuple[str, str, list[Chart]]]:
    """Of every table its title, itself as HTML, and its pictures, whose ids begin with ``prefix``, a letter first."""
    for i, (head, rows) in enumerate(tables(found.seeds)):
        if len(rows) > 1:
            yield head, _rows(rows), CHARTS[head](found.seeds, f"{prefix}{i}-") if head in CHARTS else []


def findings_list(found: Inspection) -> str:
    """What stands out, as HTML."""
    lines = [str(line).removeprefix("! ") for line in said(found)]
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def multiples(drawn: Sequence[Chart]) -> str:
    """Pictures side by side."""
    figures = "".join(map(shown_chart, drawn))
    return f'<div class="charts small">{figures}</div>' if figures else ""


def _rows(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    used = [i for i in range(len(head)) if any(row[i] for row in body)]
    top = "".join(f"<th>{escape(head[i])}</th>" for i in used)
    lines = "".join(
        "<tr>"
        + "".join(f"<{'td' if k else 'th'}>{escape(row[i])}</{'td' if k else 'th'}>" for k, i in enumerate(used))
        + "</tr>"
        for row in body
    )
    header = f"<thead><tr>{top}</tr></thead>" if any(head) else ""
    return f'<div class="scroll"><table class="inside">{header}<tbody>{lines}</tbody></table></div>'
