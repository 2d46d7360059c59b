"""The page of an exported policy that plays: the policy's numbers and operations, the environment, and what shows both.

The policy's operations and the environment's physics run in the page's own JavaScript (``assets/agent/``).
"""

import json
import re
from functools import cache
from html import escape
from typing import Any

from ..errors import UsageError
from ..play.html_page import asset, document
from ..play.player import PAGE_STYLE
from ..policyfile.metadata import Metadata
from ..version import __version__

PHYSICS = ("random.js", "sines.js", "worlds.js")  # of assets/agent/, in the order in which they need each other
POLICY = ("tensors.js", "shapes.js", "operations.js", "graph.js")
SHOWN = ("scenes.js", "show.js")

_STYLE = """
body > main { max-width: 1120px; }
.about { border-top: 1px solid #8888; margin-top: 18px; padding-top: 10px; font-size: 12.5px; }
.about dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 2px 14px; margin: 0 0 8px; }
.about dt { opacity: .72; } .about dd { margin: 0; overflow-wrap: anywhere; }
"""

_BEGIN = """
(() => {
  const said = JSON.parse(document.getElementById("policy").textContent);
  const show = new Show(document.getElementById("agent"));
  const own = Worlds[said.env], world = { ...own, limit: own.limit && said.limit };
  show.play({ env: said.env, world, scene: Scenes[said.env], policy: new Graph(said.graph) });
})();
"""


@cache
def worlds() -> tuple[str, ...]:
    """The environments whose physics the page's JavaScript has."""
    table = asset("agent/worlds.js").rpartition("\n  return {\n")[2]
    return tuple(re.findall(r'"([\w/]+-v\d+)":', table))


def check_world(env_id: str, changed: str = "") -> None:
    """Raises UsageError where an environment cannot be played in a page.

    Args:
        env_id: its name.
        changed: in what it is not the one of that name: "a wrapper around it".
    """
    if env_id not in worlds():
        raise UsageError(
            f"a page has no physics of {env_id!r} in JavaScript; it has {', '.join(worlds())}. For others: rlbench "
            "export RUN --to onnx --out policy.onnx, which ONNX Runtime plays in a browser: docs/browser.md"
        )
    if changed:
        raise UsageError(
            f"this run's {env_id} is not the one whose physics a page has: {changed}. Export it with --to onnx, or "
            "show recorded episodes of it: rlbench play RUN --html look.html"
        )


def page(graph: dict[str, Any], metadata: Metadata, limit: int, proof: str = "") -> str:
    """The page.

    Args:
        graph: as `plain_graph.plain_graph` gives it.
        metadata: what the policy says of itself.
        limit: steps after which an episode is cut off, where the environment has a limit.
        proof: a sentence on what was compared before the page was kept.

    Raises:
        UsageError: the environment has no physics in JavaScript.
    """
    check_world(metadata.env)
    data = json.dumps(
        {"env": metadata.env, "limit": limit, "graph": graph}, allow_nan=False, separators=(",", ":")
    ).replace("<", "\\u003c")
    title = f"{metadata.agent} on {metadata.env}"
    main = f"""<header><h1>{escape(title)}</h1><p>{escape(_about(metadata))}</p></header>
<div id="agent"><noscript>To see it play needs JavaScript.</noscript></div>
<script type="application/json" id="policy">{data}</script>
<footer class="about"><dl>{_facts(metadata, proof)}</dl>
rlbench {escape(__version__)}. One file, without network: save it, send it, open it anywhere.</footer>"""
    scripts = [asset(f"agent/{name}") for name in (*PHYSICS, *POLICY, *SHOWN)]
    return document(title, PAGE_STYLE + asset("agent/show.css") + _STYLE, main, *scripts, _BEGIN)


def _about(metadata: Metadata) -> str:
    who = f"Seed {metadata.seeds[0]}" if len(metadata.seeds) == 1 else f"The vote of {len(metadata.seeds)} seeds"
    return (
        f"{who}, after {metadata.env_steps:,} env steps of training. It is computed here, in this page, and so is the "
        "environment: push it, and see it recover."
    )


def _facts(metadata: Metadata, proof: str) -> str:
    seeds = ", ".join(map(str, metadata.seeds)) + (f" ({metadata.vote} vote)" if metadata.vote else "")
    facts = {
        "environment": metadata.env,
        "agent": metadata.agent,
        "seed" if len(metadata.seeds) == 1 else "seeds": seeds,
        "env steps": f"{metadata.env_steps:,}",
        "checkpoint": f"SHA-256 {metadata.checkpoint}",
        "written with": ", ".join(f"{name} {version}" for name, version in metadata.versions.items()),
        "compared": proof,
    }
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(said)}</dd>" for name, said in facts.items() if said)
