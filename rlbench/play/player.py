"""A page on which episodes can be watched, step by step, with what the agent thought. It needs no network.

`section` is a part of a page, `page` a whole one. Both need `style` and `script` once a page, however many sections
there are. What they show is made by `reel`.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..files import exporting
from ..version import __version__
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
    return _asset("player.css")


def script() -> str:
    """JavaScript, for one ``<script>`` at the end of the body: it starts every section before it."""
    return _asset("player.js")


def section(reels: Sequence[Reel], env_id: str, *, speed: float = 1.0, whole_page: bool = False) -> str:
    """One player, as an HTML ``<section>``.

    Args:
        reels: at least one.
        env_id: names the environment, and its actions where they are known.
        speed: at first; infinity: as fast as the browser draws.
        whole_page: the keyboard works wherever the focus is, and the address says where the player stands (``#t=120``,
            or ``#e=2&t=120`` where there are several episodes).
    """
    count = next((len(q) for reel in reels for q in reel.q_values or []), None)
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
    code, head = script(), PAGE_STYLE + style()
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy(code)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{head}</style>
</head>
<body>
<main>
<header><h1>{escape(title)}</h1><p>{escape(about)}</p></header>
{section(reels, env_id, speed=speed, whole_page=True)}
<footer>rlbench {__version__}. One file, without network: save it, send it, open it anywhere.</footer>
</main>
<script>{code}</script>
</body>
</html>
"""


def policy(*scripts: str) -> str:
    """A Content-Security-Policy: inline styles, data URIs as images, these inline scripts, and nothing else."""
    hashes = [base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in scripts]
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    rest = "base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}; {rest}"


def check_name(path: str | Path) -> None:
    """Raises UsageError where a page is not to be called that."""
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{path} is no name for a page: --html out.html")


def write_page(path: str | Path, html: str) -> int:
    """Write a page, whole or not at all; its folder is made if need be. Returns its size in bytes.

    Raises:
        RunFolderError: it cannot be written.
    """
    content = html.encode()
    with exporting(Path(path), "--html FILE") as temporary:
        temporary.write_bytes(content)
    return len(content)


def _asset(name: str) -> str:
    return (resources.files("rlbench") / "assets" / name).read_text(encoding="utf-8")


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
    }
