"""The pictures of a report: drawn once, put into the page as SVG whose colours follow light or dark mode."""

import io
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any, NamedTuple
from xml.etree import ElementTree

import matplotlib
from matplotlib.figure import Figure

from ..errors import RlbenchError
from ..plots.curves import PooledRuns, curves_of, pool
from ..plots.learning import draw
from ..plots.look import Look
from ..plots.scores import draw_scores, scores_of
from ..plots.threshold import draw_times, times_of
from ..runfolder.history import What
from .findings import ContestantRuns

LOOK = Look(width=3.1)  # inches: no wider than a phone, so that its letters are legible there


class Chart(NamedTuple):
    """A picture with its words."""

    title: str
    caption: str
    svg: str


def charts(contestants: Sequence[ContestantRuns], env: str, prefix: str) -> list[Chart]:
    """All pictures of one environment that the runs have something to show for.

    Args:
        contestants: their labels are the legend's.
        env: the environment.
        prefix: a letter first, different for each call on a page: ids in its pictures begin with it.
    """
    returns, evaluations = (_groups(contestants, env, what) for what in ("returns", "evaluations"))
    makers: list[tuple[str, Callable[[], Figure]]] = [
        ("While learning: episode returns", lambda: draw(curves_of(returns), look=LOOK)),
        ("While learning: greedy evaluations", lambda: draw(curves_of(evaluations), look=LOOK)),
        ("In the end: final scores", lambda: draw_scores(scores_of(evaluations), look=LOOK)),
        ("How fast: time to threshold", lambda: draw_times(times_of(evaluations)[0], look=LOOK)),
    ]
    found = []
    several = any(len(seed.steps) > 1 for group in evaluations for seed, _ in group.seeds)
    for i, (title, make) in enumerate(makers):
        if not (returns, several, evaluations, evaluations)[i]:  # one evaluation makes no curve
            continue
        try:
            figure = make()
        except RlbenchError:  # no return counts as solved in this environment
            continue
        caption = re.sub(r"\s+", " ", figure.get_supxlabel()).replace("\\$", "$")
        figure.supxlabel("")  # the page says it, in letters of its own
        for ax in figure.axes:
            ax.set_title("")
        found.append(Chart(title, caption, inline(figure, f"{prefix}{i}-", f"{title} on {env}. {caption}")))
    return found


def shown_chart(chart: Chart) -> str:
    """A picture in the page."""
    caption = f"<figcaption>{escape(chart.caption)}</figcaption>"
    return f'<figure class="chart"><h4>{escape(chart.title)}</h4>{chart.svg}{caption}</figure>'


def inline(figure: Figure, prefix: str, label: str) -> str:
    """A figure as an ``<svg>`` for the middle of a page.

    Letters stay letters, in the page's own font. Ids begin with ``prefix``, as those of two pictures would be the same
    otherwise. A colour #0072b2 becomes ``var(--c0072b2, #0072b2)``, which a style sheet can change for dark pages.
    """
    file = io.StringIO()
    how: Any = {"svg.fonttype": "none", "svg.hashsalt": "rlbench"}
    with matplotlib.rc_context(how):
        figure.savefig(file, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(file.getvalue())
    for element in list(root.iter()):
        for child in list(element):
            if _local(child.tag) in ("metadata", "style"):
                element.remove(child)
    used = set(re.findall(r"#([\w.-]+)", " ".join(v for e in root.iter() for v in e.attrib.values())))
    for element in root.iter():
        element.tag = _local(element.tag)
        element.text, element.tail = (t if t and t.strip() else None for t in (element.text, element.tail))
        element.attrib = {_local(k): _value(_local(k), v, prefix) for k, v in element.attrib.items()}
        if element.attrib.get("id", "").removeprefix(prefix) not in used:
            element.attrib.pop("id", None)
    box = [float(x) for x in root.attrib["viewBox"].split()]
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": label}
    root.attrib["style"] = f"aspect-ratio: {box[2]:.1f} / {box[3]:.1f}"
    return ElementTree.tostring(root, encoding="unicode")


def _groups(contestants: Sequence[ContestantRuns], env: str, what: What) -> list[PooledRuns]:
    """One per contestant, under its name; a contestant whose runs differ in settings has several."""
    found = []
    for contestant in contestants:
        groups = pool([history for history in contestant.histories[what] if history.env == env])
        alone = len(contestants) == 1
        for group in groups:
            label = group.label if alone else contestant.label if len(groups) == 1 else None
            found.append(group._replace(label=label or f"{contestant.label}: {group.label}"))
    return found


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _value(name: str, value: str, prefix: str) -> str:
    """An attribute as it stands in the page."""
    if name == "id":
        return prefix + value
    if name == "href":
        return f"#{prefix}{value.removeprefix('#')}"
    if name in ("d", "x", "y"):
        return re.sub(r"(\.\d\d)\d+", r"\1", re.sub(r"\s+", " ", value)).strip()
    if name == "style":
        value = re.sub(r"#([0-9a-f]{6})\b", r"var(--c\1, #\1)", value)
        value = re.sub(r"font-family: [^;]*;? ?", "", re.sub(r"font: [^;]*?([\d.]+px)[^;]*", r"font-size: \1", value))
    return value.replace("url(#", f"url(#{prefix}")
