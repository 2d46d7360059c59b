"""A page on which episodes can be watched, step by step, with what the agent thought. It needs no network.

`section` is a part of a page, `page` a whole one. Both need `style` and `script` once a page, however many sections
there are. What they show is made by `reel`.
"""

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from ..version import __version__
from .html_page import asset, document
from .key_table import action_names
from .reel import Reel

PAGE_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0; background: #fff; color: #1b1f24; }
body { font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1100px; margin: 0 auto; padding: 16px; }
h1 { font-size: 22px; margin: 4px 0 2px; overflow-wrap: anywhere; }
header p, footer { color: #57606a; margin: 0 0 14px; overflow-wrap: anywhere; }
footer { margin: 18px 0 0; font-size: 12.5px; }
@media screen and (prefers-color-scheme: dark) {
  body { background: #14171b; color: #e8ebef; }
  header p, footer { color: #a3adb8; }
}
@media print { main { padding: 0; max-width: none; } }
"""


def style() -> str:
    """CSS, for one ``<style>``. Everything in it stands under ``.rlb-player``."""
    return asset("player.css")


def script() -> str:
    """JavaScript, for one ``<script>`` at the end of the body: it starts every section before it."""
    return asset("player.js")


def section(reels: Sequence[Reel], env_id: str, *, speed: float = 1.0, whole_page: bool = False) -> str:
    """One player, as an HTML ``<section>``.

    Args:
        reels: at least one.
        env_id: names the environment, and its actions where they are known.
        speed: at first; infinity: as fast as the browser draws.
        whole_page: the keyboard works wherever the focus is, and the address says where the player stands (``#t=120``,
            or ``#e=2&t=120`` where there are several episodes).
    """
    count = next((len(q) for reel in reels for q in reel.q_values or reel.probabilities or []), None)
    names = action_names(env_id, count)
    data = {
        "env": env_id,
        "speed": "max" if speed == float("inf") else speed,
        "actions": list(names),
        "reels": [_json(reel) for reel in reels],
    }
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    first = reels[0].pictures[:1]
    still = f'<img src="{first[0]}" alt="The first picture of the episode">' if first else ""
    titles = "".join(f"<li>{escape(reel.title)}</li>" for reel in reels)
    return (
        f'<section class="rlb-player" aria-label="Episode player"{" data-hash" if whole_page else ""}>'
        f"<noscript>{still}<p>Playing the episodes needs JavaScript.</p><ul>{titles}</ul></noscript>"
        f'<script type="application/json">{text}</script></section>'
    )


def page(reels: Sequence[Reel], env_id: str, title: str, about: str = "", *, speed: float = 1.0) -> str:
    """A whole page with one player. It forbids itself every connection.

    Args:
        reels: at least one.
        env_id: as for `section`.
        title: of the page.
        about: a sentence under it.
        speed: as for `section`.
    """
    main = f"""<header><h1>{escape(title)}</h1><p>{escape(about)}</p></header>
{section(reels, env_id, speed=speed, whole_page=True)}
<footer>rlbench {__version__}. One file, without network: save it, send it, open it anywhere.</footer>"""
    return document(title, PAGE_STYLE + style(), main, script())


def _json(reel: Reel) -> dict[str, Any]:
    return {
        "title": reel.title,
        "notes": list(reel.notes),
        "ending": reel.ending,
        "fps": reel.fps,
        "size": list(reel.size),
        "pictures": reel.pictures,
        "shown": reel.shown,
        "actions": reel.actions,
        "rewards": reel.rewards,
        "q": reel.q_values,
        "values": reel.values,
        "valued": reel.valued,
        "followed": reel.followed,
        "gamma": reel.gamma,
        "other": reel.other,
        "probabilities": reel.probabilities,
        "means": reel.means,
        "stds": reel.stds,
    }
