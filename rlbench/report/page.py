"""`write_report`: runs on one self-contained page to send to somebody. It needs no network, and asks for none."""

import datetime
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from ..judge.contestants import RunPaths
from ..play import player
from ..play.html_page import asset, check_name, document, write_page
from ..process.places import absolute, staying
from ..units import duration
from ..version import __version__
from .appendix import method, recipes, reproduce, setting
from .charts import charts, shown_chart
from .findings import Findings, gather
from .inside import STYLE
from .inside_runs import RunInside, inside, look_inside
from .reels import EnvReels, env_reels
from .results import listed, numbers, plural, verdict
from .seeds import seeds


class Report(NamedTuple):
    """What was written."""

    path: Path
    size: int  # bytes
    findings: Findings
    notes: tuple[str, ...]  # what the page goes without


def write_report(
    groups: Mapping[str, RunPaths] | Sequence[RunPaths],
    out: Path | str = "report.html",
    *,
    title: str | None = None,
    video: bool = True,
    look: bool = True,
    agents: Sequence[str] = (),
    imports: Sequence[str] = (),
) -> Report:
    """Write a report on runs, in whatever state they are; the page says what it cannot tell.

    Args:
        groups: one contestant, or several to compare with the first: see `rlbench.judge.contestants.read_contestants`.
        out: the page; it appears whole or not at all.
        title: of the page; None: agent and environment.
        video: whether episodes of training are run again, to be watched on the page.
        look: whether the agents are looked into.
        agents: code of agents, as file.py:Class; without it the video of such an agent shows no Q-values, and it cannot
            be looked into.
        imports: modules that register environments; without them such an environment has no video.

    Raises:
        UsageError: nothing to report, or a path that is no folder.
        RunFolderError: ``out`` cannot be written.
    """
    path = absolute(out)
    check_name(path, "--out report.html")
    found = gather(groups)
    with staying():
        films = (
            [env_reels(found.contestants, env, agents, imports, len(found.envs)) for env in found.envs] if video else []
        )
        looks = look_inside(found.contestants, agents, imports) if look else ([], 0)
    size = write_page(path, page(found, films, title, looks), "--out FILE")
    return Report(path, size, found, tuple(note for one in films for note in one.notes))


def page(
    found: Findings,
    films: Sequence[EnvReels] = (),
    title: str | None = None,
    looks: tuple[Sequence[RunInside], int] = ((), 0),
) -> str:
    """The page itself."""
    title = title or _title(found)
    parts = [
        ("verdict", "Verdict", verdict(found)),
        ("curves", "Curves", _charts(found)),
        ("watch", "Watch it learn", _films(films)),
        ("numbers", "In numbers", numbers(found) + listed("Notes", found.notes, "notes")),
        ("seeds", "Every seed", seeds(found)),
        ("inside", "Inside the agent" if len(looks[0]) == 1 else "Inside the agents", inside(*looks)),
        ("recipe", "Recipe", recipes(found)),
        ("setting", "Environment, versions, machine", setting(found)),
        ("reproduce", "How to reproduce it", reproduce(found)),
        ("method", "How the numbers are made", method(found)),
    ]
    body = "".join(f'<section id="{name}"><h2>{head}</h2>{html}</section>' for name, head, html in parts if html)
    links = "".join(f'<a href="#{name}">{head}</a>' for name, head, html in parts if html)
    about = f'<p>{escape(_about(found))}</p><nav aria-label="Contents">{links}</nav>'
    main = f"""<header><h1>{escape(title)}</h1>{about}</header>
{body}
<footer>Made by rlbench {__version__}. One file, without network: save it, send it, open it anywhere.</footer>"""
    return document(title, player.style() + asset("report.css") + STYLE, main, player.script(), asset("report.js"))


def _title(found: Findings) -> str:
    envs = found.envs
    where = " and ".join(envs) if len(envs) < 3 else plural(len(envs), "environment")
    if len(found.contestants) == 1:
        agents = dict.fromkeys(folder.facts.agent for folder in found.folders)
        return f"{' and '.join(agents)} on {where}"
    labels = [contestant.label for contestant in found.contestants]
    who = " against ".join(labels) if len(labels) == 2 else plural(len(labels), "agent")
    return f"{who} on {where}"


def _about(found: Findings) -> str:
    """A line under the title."""
    runs = plural(len(found.folders), "run")
    count = sum(len(s) for c in found.contestants if c.scored for s in c.scored.seeds.values())
    seconds = [folder.facts.seconds for folder in found.folders if folder.facts.seconds is not None]
    spent = f", {duration(sum(seconds))} of training" if seconds else ""
    today = datetime.date.today().isoformat()
    return f"{runs}, {plural(count, 'seed')}{spent}. Report of {today}."


def _charts(found: Findings) -> str:
    parts = []
    for i, env in enumerate(found.envs):
        made = charts(found.contestants, env, f"p{i}")
        head = f"<h3>{escape(env)}</h3>" if len(found.envs) > 1 else ""
        here = [c for c in found.contestants if any(folder.facts.env == env for folder in c.folders)]
        without = [c.label for c in here if not any(h.env == env for h in c.histories["returns"])]
        missing = f'<p class="missing">No curve of {escape(", ".join(without))}: no episode can be read.</p>'
        if made:
            parts.append(
                f'{head}<div class="charts">{"".join(map(shown_chart, made))}</div>{missing if without else ""}'
            )
    return "".join(parts)


def _films(films: Sequence[EnvReels]) -> str:
    parts = []
    for one in films:
        head = f"<h3>{escape(one.env)}</h3>" if len(films) > 1 else ""
        shown = player.section(one.reels, one.env) if one.reels else ""
        notes = "".join(f'<p class="missing">{escape(note)}</p>' for note in one.notes)
        parts.append(head + shown + notes)
    return "".join(parts)
