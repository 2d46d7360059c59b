"""Who may import whom, held by a short walk over the syntax trees (import linters do not follow our folder mapping)."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("rlbench", "agents", "envs", "experiments")

# The bottom of the house: these may import one another, and nothing that stands above them.
BASE = (
    "errors",
    "types",
    "functional",
    "flat",
    "products",
    "kernels",
    "nn",
    "optim",
    "rng",
    "feed",
    "graphs",
    "packing",
    "replay",
)


class Rule(NamedTuple):
    """Files that must not import names starting with ``forbidden``, save those starting with ``allowed``."""

    files: tuple[str, ...]  # glob patterns from the checkout's root
    forbidden: tuple[str, ...]
    allowed: tuple[str, ...] = ()
    only_top: bool = False  # imports inside functions are free


RULES = {
    "base": Rule(
        tuple(f"rlbench/{name}.py" for name in BASE),
        forbidden=("gymnasium", "click", "rlbench"),
        allowed=tuple(f"rlbench.{name}" for name in BASE),
    ),
    "agent": Rule(
        ("rlbench/agent.py",), forbidden=("torch.optim", "rlbench.rollout.env_batch", "rlbench.rollout.loop")
    ),
    "vec, journal": Rule(
        ("rlbench/rollout/env_batch.py", "rlbench/runfolder/journal.py"), forbidden=("rlbench.agents",)
    ),
    "runner": Rule(("rlbench/rollout/loop.py",), forbidden=("click", "rlbench.agents", "rlbench.envs")),
    "agents": Rule(("agents/**/*.py",), forbidden=("gymnasium", "click", "rlbench.rollout.loop", "rlbench.envs")),
    "envs": Rule(("envs/**/*.py",), forbidden=("torch", "rlbench.agents", "rlbench.rollout.loop")),
    "cli": Rule(("rlbench/cli/**/*.py",), forbidden=("torch", "matplotlib", "gymnasium"), only_top=True),
    # As top-level names these belong to other packages; ours are rlbench.agents, rlbench.envs, rlbench.experiments.
    "no bare folder": Rule(
        (*(f"{folder}/**/*.py" for folder in FOLDERS), "tests/**/*.py"), forbidden=("agents", "envs", "experiments")
    ),
}


def module_name(path: Path) -> str:
    """The import name of a file, given from the checkout's root: agents/dqn.py is rlbench.agents.dqn."""
    parts = path.with_suffix("").parts
    return ".".join(parts if parts[0] in ("rlbench", "tests") else ("rlbench", *parts))


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


def starts_with(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def violations(source: str, path: Path, rule: Rule) -> list[str]:
    """Forbidden names as "path:line name", the first of each line."""
    found: dict[int, str] = {}
    dotted = tuple(name for name in rule.forbidden if "." in name)  # a bare `click.x` may be a variable's attribute
    for node in nodes(ast.parse(source), only_top=rule.only_top):
        forbidden = dotted if isinstance(node, ast.Attribute) else rule.forbidden
        for name in names(node, module_name(path)):
            if starts_with(name, forbidden) and not starts_with(name, rule.allowed):
                found.setdefault(getattr(node, "lineno", 0), name)
    return [f"{path}:{line} {name}" for line, name in found.items()]


CASES = [
    pytest.param(rule, path.relative_to(ROOT), id=f"{label}: {path.relative_to(ROOT)}")
    for label, rule in RULES.items()
    for pattern in rule.files
    for path in sorted(ROOT.glob(pattern))
]


@pytest.mark.parametrize(("rule", "path"), CASES)
def test_layers(rule: Rule, path: Path) -> None:
    assert violations((ROOT / path).read_text(encoding="utf-8"), path, rule) == []


def test_every_rule_finds_its_files() -> None:
    for path in ("rlbench/rollout/loop.py", "rlbench/rollout/env_batch.py", "agents/dqn.py", "envs/catch.py"):
        assert (ROOT / path).is_file(), path
    covered = {label: [path for pattern in rule.files for path in ROOT.glob(pattern)] for label, rule in RULES.items()}
    assert [label for label, paths in covered.items() if not paths] == []


@pytest.mark.parametrize(
    ("label", "path", "source", "name"),
    [
        ("base", "rlbench/replay.py", "import gymnasium as gym", "gymnasium"),
        ("base", "rlbench/replay.py", "def f():\n    from gymnasium.spaces import Box", "gymnasium.spaces.Box"),
        ("base", "rlbench/nn/layers.py", "from .agent import Agent", "rlbench.agent.Agent"),
        ("base", "rlbench/nn/layers.py", "from . import vec", "rlbench.rollout.env_batch"),
        ("base", "rlbench/nn/layers.py", "from rlbench.rollout import env_batch as vec", "rlbench.rollout.env_batch"),
        ("base", "rlbench/nn/layers.py", "import rlbench.agents.dqn", "rlbench.agents.dqn"),
        ("agent", "rlbench/agent.py", "from torch.optim import Adam", "torch.optim.Adam"),
        ("agent", "rlbench/agent.py", "from torch import optim", "torch.optim"),
        ("agent", "rlbench/agent.py", "import torch\ntorch.optim.Adam", "torch.optim.Adam"),
        (
            "vec, journal",
            "rlbench/rollout/env_batch.py",
            "from rlbench.agents.dqn import DQN",
            "rlbench.agents.dqn.DQN",
        ),
        ("runner", "rlbench/rollout/loop.py", "from . import envs", "rlbench.envs"),
        ("agents", "agents/dqn.py", "from ..runner import run", "rlbench.rollout.loop.run"),
        ("agents", "agents/__init__.py", "from rlbench.envs import Catch", "rlbench.envs.Catch"),
        ("envs", "envs/catch.py", "try:\n    import torch.nn\nexcept ImportError:\n    pass", "torch.nn"),
        ("cli", "rlbench/cli/__init__.py", "import torch", "torch"),
        ("cli", "rlbench/cli/train.py", "class C:\n    import matplotlib.pyplot", "matplotlib.pyplot"),
        ("cli", "rlbench/cli/train.py", "if TYPE_CHECKING:\n    pass\nelse:\n    import torch", "torch"),
        ("no bare folder", "tests/test_x.py", "from envs.catch import Catch", "envs.catch.Catch"),
    ],
)
def test_a_planted_violation_is_caught(label: str, path: str, source: str, name: str) -> None:
    assert [found.split()[1] for found in violations(source, Path(path), RULES[label])] == [name]


@pytest.mark.parametrize(
    ("label", "path", "source"),
    [
        ("base", "rlbench/replay.py", "import torch\nfrom .types import Batch\nfrom rlbench import rng"),
        ("agent", "rlbench/agent.py", "import torch\nfrom .types import Batch"),
        ("vec, journal", "rlbench/rollout/env_batch.py", "import gymnasium\nfrom .agent import Agent"),
        ("agents", "agents/dqn.py", "import torch\nfrom rlbench.replay import Replay\nfrom . import random"),
        ("envs", "envs/catch.py", "import gymnasium\nfrom .probe import Probe"),
        ("cli", "rlbench/cli/train.py", "def train():\n    import torch\nif TYPE_CHECKING:\n    import gymnasium"),
        ("no bare folder", "rlbench/load.py", "from . import agents\nfrom rlbench.envs import IDS"),
    ],
)
def test_what_is_allowed_passes(label: str, path: str, source: str) -> None:
    assert violations(source, Path(path), RULES[label]) == []
