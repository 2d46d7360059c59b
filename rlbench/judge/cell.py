"""A `Comparison` as HTML for a cell of a notebook: what weakens it, the verdicts, and the numbers as tables."""

from collections.abc import Sequence
from html import escape

from .results import Compared
from .text import Block, blocks

LEFT, RIGHT = "text-align:left", "text-align:right;white-space:nowrap"


def cell(comparison: Compared) -> str:
    """In the order of `text.text`; the tables over single environments and the notes can be unfolded."""
    first = comparison.overall or comparison.tables[0]
    more = comparison.tables if comparison.overall else ()
    parts = [
        _listed("These runs are not comparable as they stand:", comparison.differences),
        _listed("Beware:", comparison.warnings),
        "".join(f"<p><b>{escape(verdict)}</b></p>" for verdict in comparison.verdicts),
        "".join(_table(block) for block in blocks(comparison, first)),
    ]
    for table in more:
        inside = "".join(_table(block) for block in blocks(comparison, table))
        parts.append(f"<details><summary>{escape(table.env)}</summary>{inside}</details>")
    if comparison.notes:
        parts.append(f"<details><summary>notes</summary>{_listed('', comparison.notes)}</details>")
    return f"<div>{''.join(parts)}</div>"


def _listed(title: str, lines: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<p style='margin-bottom:0'>{escape(title)}</p><ul>{items}</ul>" if lines else ""


def _table(block: Block) -> str:
    caption = f"<caption style='{LEFT}'>{escape(block.title)}</caption>" if block.title else ""
    header = _cells(block.header, "th", RIGHT)
    rows = "".join(f"<tr>{_cells(row, 'td', RIGHT)}</tr>" for row in block.rows)
    return f"<table>{caption}<thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table>"


def _cells(row: Sequence[str], tag: str, style: str) -> str:
    first = f"<th style='{LEFT}'>{escape(row[0])}</th>"
    return first + "".join(f"<{tag} style='{style}'>{escape(text)}</{tag}>" for text in row[1:])
