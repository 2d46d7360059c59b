"""Who may import whom, held by a short walk over the syntax trees (import linters do not follow our folder mapping)."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import slow

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("rlbench", "agents", "envs", "experiments")

# What the kit holds besides its own rooms: all that the author of an agent needs.
KIT = (
    "acting", "agent", "agent_state", "distributions", "errors", "files", "functional", "learner", "numbers", "optim",
    "policies", "rng", "seed_axis", "types", "units", "version",
)  # fmt: skip
KIT_ROOMS = ("cuda", "nn", "replay")

# The house, from the bottom up: room -> its files. A room imports from those below it alone, in functions and under
# TYPE_CHECKING too; those of one row never import each other.
HOUSE: tuple[dict[str, tuple[str, ...]], ...] = (
    {
        "kit": (*(f"rlbench/{name}.py" for name in KIT), *(f"rlbench/{room}/*.py" for room in KIT_ROOMS)),
        "envs": ("envs/*.py",),
    },
    {"process": ("rlbench/process/*.py",)},
    {"stats": ("rlbench/stats/*.py",), "policyfile": ("rlbench/policyfile/*.py",)},
    {"service": ("rlbench/service/*.py",)},
    {"user_code": ("rlbench/user_code/*.py",)},
    {"border": ("rlbench/border/*.py",)},
    {"classic": ("rlbench/classic/*.py",)},
    {"worlds": ("rlbench/worlds/*.py",)},
    {"rollout": ("rlbench/rollout/*.py",)},
    {"recipe": ("rlbench/recipe/*.py",)},
    {"runfolder": ("rlbench/runfolder/*.py",)},
    {
        "track": ("rlbench/track/*.py",),
        "plots": ("rlbench/plots/*.py",),
        "judge": ("rlbench/judge/*.py",),
        "trained": ("rlbench/trained/*.py",),
        "store": ("rlbench/store/*.py",),
    },
    {"play": ("rlbench/play/*.py",), "inspection": ("rlbench/inspection/*.py",)},
    {"tracing": ("rlbench/tracing/*.py",)},
    {"proving": ("rlbench/proving/*.py",)},
    {"ship": ("rlbench/ship/*.py",)},
    {"timing": ("rlbench/timing/*.py",)},
    {"quantized": ("rlbench/quantized/*.py",)},
    {"record": ("rlbench/record/*.py",)},
    {"training": ("rlbench/training/*.py",)},
    {"probing": ("rlbench/probing/*.py",)},
    {"lessons": ("rlbench/lessons/*.py",)},
    {"live": ("rlbench/live/*.py",), "report": ("rlbench/report/*.py",), "checks": ("rlbench/checks/*.py",)},
    {"cells": ("rlbench/cells/*.py",)},
    {"engines": ("rlbench/engines/*.py",)},
    {"on_ray": ("rlbench/on_ray/*.py",), "on_slurm": ("rlbench/on_slurm/*.py",)},
    {"sweep": ("rlbench/sweep/*.py",)},
    {"driving": ("rlbench/driving/*.py",), "outcome": ("rlbench/outcome/*.py",)},
    {"tunefile": ("rlbench/tunefile/*.py",)},
    {"tuning": ("rlbench/tuning/*.py",)},
    {"cli": ("rlbench/cli/*.py",), "api": ("rlbench/api/*.py",)},
    # The face gives away what lies in the house, and nothing in the house goes by way of it; agents are found by name.
    {
        "face": ("rlbench/__init__.py", "rlbench/__main__.py"),
        "agents": ("agents/*.py",),
        "templates": ("rlbench/templates/*.py",),
    },
    {"experiments": ("experiments/**/*.py",)},
)
ONLY = {
    "agents": {"kit"},
    "service": {"kit", "process", "policyfile"},
    "templates": {"kit", "checks"},
}  # what a room may see, where that is less than all below it


class Ban(NamedTuple):
    """Files that must not import names starting with ``names``."""

    files: tuple[str, ...]  # glob patterns from the checkout's root
    names: tuple[str, ...]
    only_top: bool = False  # imports inside functions are free


BANS = {
    "kit": Ban(HOUSE[0]["kit"], ("gymnasium", "click")),
    "agent": Ban(("rlbench/agent.py",), ("torch.optim",)),
    "agents": Ban(("agents/*.py",), ("gymnasium", "click")),
    "envs": Ban(("envs/*.py",), ("torch",)),
    "loop": Ban(("rlbench/rollout/*.py", "rlbench/training/*.py"), ("click",)),
    "service": Ban(("rlbench/service/*.py",), ("torch", "gymnasium")),
    "policyfile": Ban(("rlbench/policyfile/*.py",), ("torch", "gymnasium", "onnxruntime"), only_top=True),
    "cli": Ban(("rlbench/cli/*.py",), ("torch", "matplotlib", "gymnasium"), only_top=True),
    "runs": Ban(
        tuple(f"rlbench/runfolder/{name}.py" for name in
              ("__init__", "documents", "facts", "index", "layout", "lock", "reader", "tables")),
        ("torch", "numpy"), only_top=True,
    ),
    # As top-level names these belong to other packages; ours are rlbench.agents, rlbench.envs, rlbench.experiments.
    "no bare folder": Ban(
        (*(f"{folder}/**/*.py" for folder in FOLDERS), "tests/**/*.py"), ("agents", "envs", "experiments")
    ),
}  # fmt: skip

FLOOR = {room: floor for floor, rooms in enumerate(HOUSE) for room in rooms}


def module_name(path: Path) -> str:
    """The import name of a file, given from the checkout's root: agents/dqn.py is rlbench.agents.dqn."""
    parts = path.with_suffix("").parts
    return ".".join(parts if parts[0] in ("rlbench", "tests") else ("rlbench", *parts))


def room_of(name: str) -> str:
    """The room of a dotted name: of a module, or of something in one. What is not ours is in none, ""."""
    package, _, rest = name.partition(".")
    if package != "rlbench":
        return ""
    first = rest.partition(".")[0]
    if first in KIT or first in KIT_ROOMS:
        return "kit"
    return first if first in FLOOR else "face"


def nodes(tree: ast.AST, *, only_top: bool) -> Iterator[ast.AST]:
    """All nodes, or with ``only_top`` those that run when the module is imported."""
    for child in ast.iter_child_nodes(tree):
        if only_top and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if only_top and isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            yield from (node for other in child.orelse for node in (other, *nodes(other, only_top=True)))
            continue
        yield child
        yield from nodes(child, only_top=only_top)


def names(node: ast.AST, module: str) -> list[str]:
    """The dotted names that a node imports, or reaches as an attribute (`torch.optim.Adam` after `import torch`)."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        source = node.module or ""
        if node.level:  # module "a.b.c" (for a package "a.b.__init__"): one dot is "a.b"
            source = ".".join([*module.split(".")[: -node.level], *filter(None, [source])])
        return [f"{source}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Attribute):
        return [ast.unparse(node)]
    return []


def arrows_up(source: str, path: Path) -> list[str]:
    """What a file imports that is not below its room, as "path:line name"."""
    module, found = module_name(path), []
    mine = room_of(module)
    for node in nodes(ast.parse(source), only_top=False):
        for name in names(node, module) if not isinstance(node, ast.Attribute) else ():
            other = room_of(name)
            if other in ("", mine) or (other in ONLY.get(mine, FLOOR) and FLOOR[other] < FLOOR[mine]):
                continue
            found.append(f"{path}:{getattr(node, 'lineno', 0)} {name}")
    return found


def banned(source: str, path: Path, ban: Ban) -> list[str]:
    """Banned names as "path:line name", the first of each line."""
    found: dict[int, str] = {}
    dotted = tuple(name for name in ban.names if "." in name)  # a bare `click.x` may be a variable's attribute
    for node in nodes(ast.parse(source), only_top=ban.only_top):
        prefixes = dotted if isinstance(node, ast.Attribute) else ban.names
        for name in names(node, module_name(path)):
            if any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes):
                found.setdefault(getattr(node, "lineno", 0), name)
    return [f"{path}:{line} {name}" for line, name in found.items()]


def circles(imports: dict[str, set[str]]) -> list[set[str]]:
    """Modules that reach themselves by way of others, those of one circle together; ``imports`` has them by name."""
    reached = {module: set(others) for module, others in imports.items()}
    for through in imports:
        for others in reached.values():
            if through in others:
                others |= reached[through]
    rings = {frozenset({module, *(o for o in reached[module] if module in reached.get(o, ()))}) for module in imports}
    return [set(ring) for ring in rings if len(ring) > 1]


def imports_of(source: str, path: Path, modules: set[str]) -> set[str]:
    """The other ``modules`` that a file imports, or imports something from."""
    module, found = module_name(path), set()
    for node in nodes(ast.parse(source), only_top=False):
        for name in () if isinstance(node, ast.Attribute) else names(node, module):
            parent = name.rpartition(".")[0]
            known = (name, f"{name}.__init__", parent, f"{parent}.__init__")
            found.add(next((one for one in known if one in modules), module))
    return found - {module}


def files_of(patterns: tuple[str, ...]) -> list[Path]:
    return [path.relative_to(ROOT) for pattern in patterns for path in sorted(ROOT.glob(pattern))]


ROOMS = {room: files for row in HOUSE for room, files in row.items()}


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_go_down(room: str) -> None:
    found = [arrow for path in files_of(ROOMS[room]) for arrow in arrows_up((ROOT / path).read_text("utf-8"), path)]
    assert found == []


@pytest.mark.parametrize(
    "label", [slow(label) if "tests/**/*.py" in ban.files else label for label, ban in BANS.items()]
)
def test_what_is_banned_is_not_imported(label: str) -> None:
    ban = BANS[label]
    found = [name for path in files_of(ban.files) for name in banned((ROOT / path).read_text("utf-8"), path, ban)]
    assert found == []


def test_every_file_stands_in_a_room() -> None:
    """A room, or a module at the top, that is missing from the table fails here."""
    placed = [path for files in ROOMS.values() for path in files_of(files)]
    there = [path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert sorted(placed) == sorted(there)
    assert [pattern for files in ROOMS.values() for pattern in files if not list(ROOT.glob(pattern))] == []
    assert [label for label, ban in BANS.items() if not files_of(ban.files)] == []


def test_no_modules_import_each_other() -> None:
    """Neither two nor more in a ring, under TYPE_CHECKING and in functions too."""
    paths = {module_name(path): path for path in files_of(tuple(f"{folder}/**/*.py" for folder in FOLDERS))}
    texts = {module: (ROOT / path).read_text("utf-8") for module, path in paths.items()}
    assert circles({module: imports_of(text, paths[module], set(paths)) for module, text in texts.items()}) == []


def test_a_planted_circle_is_caught() -> None:
    inside = {"rlbench.a.x": "from .y import f", "rlbench.a.y": "def f():\n    from ..b import z", "rlbench.a.w": ""}
    inside["rlbench.b.z"] = "if TYPE_CHECKING:\n    from ..a.x import g"
    found = {m: imports_of(text, Path(f"{m.replace('.', '/')}.py"), set(inside)) for m, text in inside.items()}
    assert circles(found) == [{"rlbench.a.x", "rlbench.a.y", "rlbench.b.z"}]


def test_rooms_hide_no_public_function() -> None:
    """Importing a submodule rlbench.train would put it in the place of the function."""
    hidden = {"train", "resume", "evaluate", "load", "compare", "run"}
    assert not hidden & {path.stem for path in (ROOT / "rlbench").iterdir()}


def names_defined(source: str) -> list[str]:
    """Classes at a module's top, and names given to types there."""
    body = ast.parse(source).body
    classes = [node.name for node in body if isinstance(node, ast.ClassDef)]
    assigned = [t.id for node in body if isinstance(node, ast.Assign) for t in node.targets if isinstance(t, ast.Name)]
    return [name for name in (*classes, *assigned) if name[0].isupper() and not name.isupper()]


def test_no_two_things_have_one_name() -> None:
    places: dict[str, list[str]] = {}
    for path in files_of(("rlbench/**/*.py", "agents/*.py")):
        for name in names_defined((ROOT / path).read_text("utf-8")):
            places.setdefault(name, []).append(str(path))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


ONE_PLACE = {  # what is done in these files alone -> what it looks like
    ("rlbench/files.py", "rlbench/runfolder/checkpoints.py"): r"os\.(replace|rename)\(|mkstemp|NamedTemporaryFile",
    ("rlbench/files.py", "rlbench/cli/options.py", "rlbench/play/html_page.py"): r"\.write_(text|bytes)\(",
    ("rlbench/units.py",): r"\b(3600|86400)\b|\} ?[KMG]i?B\b",
}


@pytest.mark.parametrize("places", ONE_PLACE, ids=["replacing", "writing", "units"])
def test_what_has_one_place_is_done_nowhere_else(places: tuple[str, ...]) -> None:
    pattern = re.compile(ONE_PLACE[places])
    found = {str(path) for path in files_of(("rlbench/**/*.py",)) if pattern.search((ROOT / path).read_text("utf-8"))}
    assert found == set(places)


@pytest.mark.parametrize(
    ("path", "source", "name"),
    [
        ("rlbench/replay/ring.py", "from ..stats.intervals import iqm", "rlbench.stats.intervals.iqm"),
        ("rlbench/replay/ring.py", "from rlbench import Agent", "rlbench.Agent"),
        ("rlbench/optim.py", "def f():\n    from . import envs", "rlbench.envs"),
        ("rlbench/nn/layers.py", "from ..rollout import env_batch", "rlbench.rollout.env_batch"),
        ("rlbench/nn/layers.py", "import rlbench.agents.dqn", "rlbench.agents.dqn"),
        ("rlbench/stats/intervals.py", "from ..border.make import env_maker", "rlbench.border.make.env_maker"),
        ("rlbench/user_code/refs.py", "from ..border import spaces", "rlbench.border.spaces"),
        ("rlbench/border/make.py", "from ..rollout.display import advice", "rlbench.rollout.display.advice"),
        ("rlbench/rollout/loop.py", "from ..recipe import Recipe", "rlbench.recipe.Recipe"),
        ("rlbench/rollout/loop.py", "from ..agents.dqn import DQN", "rlbench.agents.dqn.DQN"),
        ("rlbench/recipe/build.py", "from ..runfolder import journal", "rlbench.runfolder.journal"),
        (
            "rlbench/runfolder/journal.py",
            "if TYPE_CHECKING:\n    from ..training.session import Session",
            "rlbench.training.session.Session",
        ),
        ("rlbench/track/online.py", "from ..plots import look", "rlbench.plots.look"),
        ("rlbench/plots/curves.py", "from ..judge.evidence import read_run", "rlbench.judge.evidence.read_run"),
        ("rlbench/judge/evidence.py", "from ..trained.load import load", "rlbench.trained.load.load"),
        ("rlbench/trained/load.py", "from ..play import greedy", "rlbench.play.greedy"),
        ("rlbench/play/clips.py", "from ..training import session", "rlbench.training.session"),
        ("rlbench/training/train.py", "from ..live.follow import FollowedRun", "rlbench.live.follow.FollowedRun"),
        ("rlbench/live/panel.py", "from ..report.page import write_report", "rlbench.report.page.write_report"),
        ("rlbench/report/page.py", "from .. import cli", "rlbench.cli"),
        ("rlbench/engines/local.py", "from ..on_ray.nodes import Node", "rlbench.on_ray.nodes.Node"),
        ("rlbench/on_slurm/queue.py", "from ..on_ray.nodes import Node", "rlbench.on_ray.nodes.Node"),
        ("rlbench/on_ray/engine.py", "from ..driving.engines import NAMES", "rlbench.driving.engines.NAMES"),
        ("rlbench/tunefile/file.py", "from ..tuning.study import FINAL", "rlbench.tuning.study.FINAL"),
        ("rlbench/cli/train.py", "def train():\n    import rlbench", "rlbench"),
        ("rlbench/cli/list.py", "from rlbench.agents.dqn import DQN", "rlbench.agents.dqn.DQN"),
        ("agents/dqn.py", "from ..stats.intervals import iqm", "rlbench.stats.intervals.iqm"),
        ("agents/__init__.py", "from rlbench.envs import Catch", "rlbench.envs.Catch"),
        ("envs/catch.py", "from ..errors import UsageError", "rlbench.errors.UsageError"),
    ],
)
def test_a_planted_arrow_is_caught(path: str, source: str, name: str) -> None:
    assert [found.split()[1] for found in arrows_up(source, Path(path))] == [name]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("rlbench/optim.py", "import torch\nfrom .types import Batch\nfrom rlbench import rng\nfrom .nn import flat"),
        ("rlbench/border/make.py", "from .. import envs\nfrom ..user_code.refs import Ref\nfrom . import observations"),
        ("rlbench/report/page.py", "from ..trained.load import load\nfrom ..plots import curves\nfrom .facts import x"),
        ("rlbench/__init__.py", "from .training.train import train"),
        ("agents/dqn.py", "from rlbench.replay import Replay\nfrom . import random\nfrom ..nn import mlp"),
        ("experiments/results.py", "from rlbench import train\nfrom rlbench.agents.dqn import DQN"),
    ],
)
def test_what_is_allowed_passes(path: str, source: str) -> None:
    assert arrows_up(source, Path(path)) == []


@pytest.mark.parametrize(
    ("label", "path", "source", "name"),
    [
        ("kit", "rlbench/replay/ring.py", "import gymnasium as gym", "gymnasium"),
        ("kit", "rlbench/nn/layers.py", "def f():\n    from gymnasium.spaces import Box", "gymnasium.spaces.Box"),
        ("agent", "rlbench/agent.py", "from torch.optim import Adam", "torch.optim.Adam"),
        ("agent", "rlbench/agent.py", "from torch import optim", "torch.optim"),
        ("agent", "rlbench/agent.py", "import torch\ntorch.optim.Adam", "torch.optim.Adam"),
        ("agents", "agents/dqn.py", "import click", "click"),
        ("envs", "envs/catch.py", "try:\n    import torch.nn\nexcept ImportError:\n    pass", "torch.nn"),
        ("loop", "rlbench/rollout/loop.py", "import click", "click"),
        ("cli", "rlbench/cli/__init__.py", "import torch", "torch"),
        ("cli", "rlbench/cli/train.py", "class C:\n    import matplotlib.pyplot", "matplotlib.pyplot"),
        ("cli", "rlbench/cli/train.py", "if TYPE_CHECKING:\n    pass\nelse:\n    import torch", "torch"),
        ("runs", "rlbench/runfolder/index.py", "import numpy as np", "numpy"),
        ("no bare folder", "tests/test_x.py", "from envs.catch import Catch", "envs.catch.Catch"),
    ],
)
def test_a_planted_import_is_caught(label: str, path: str, source: str, name: str) -> None:
    assert [found.split()[1] for found in banned(source, Path(path), BANS[label])] == [name]


@pytest.mark.parametrize(
    ("label", "path", "source"),
    [
        ("kit", "rlbench/replay/ring.py", "import torch\nimport numpy"),
        ("agent", "rlbench/agent.py", "import torch\nfrom torch import Tensor"),
        ("envs", "envs/catch.py", "import gymnasium\nfrom .probe import Probe"),
        ("cli", "rlbench/cli/train.py", "def train():\n    import torch\nif TYPE_CHECKING:\n    import gymnasium"),
        ("no bare folder", "rlbench/x.py", "from . import agents\nfrom rlbench.envs import IDS"),
    ],
)
def test_what_is_not_banned_passes(label: str, path: str, source: str) -> None:
    assert banned(source, Path(path), BANS[label]) == []
