"""rlbench: train, watch, compare and invent reinforcement-learning agents.

The names below load on first use, so that ``import rlbench`` (and with it ``rlbench --help``) stays instant.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .process import mkl as _mode
from .version import __version__ as __version__

_mode.choose()  # before MKL first runs

_HOME = {
    "Agent": "agent",
    "AgentConfig": "agent",
    "Batch": "types",
    "Comparison": "judge.comparison",
    "EnvBatch": "rollout.env_batch",
    "Learner": "learner",
    "Recipe": "recipe",
    "Replay": "replay",
    "RlbenchError": "errors",
    "Rollout": "replay",
    "UsageError": "errors",
    "resume": "training.train",
    "Run": "training.train",
    "Spec": "types",
    "Streams": "rng",
    "Trained": "trained.load",
    "Transition": "types",
    "compare": "judge.comparison",
    "evaluate": "trained.load",
    "load": "trained.load",
    "run": "rollout.loop",
    "train": "training.train",
}
__all__ = [  # noqa: RUF022  (in the order a reader meets them)
    "train", "resume", "evaluate", "load", "compare", "Comparison", "Run", "Trained", "Recipe", "Agent", "AgentConfig",
    "Learner", "Spec", "Transition", "Batch", "Replay", "Rollout", "Streams", "EnvBatch", "run", "RlbenchError",
    "UsageError", "__version__",
]  # fmt: skip

if TYPE_CHECKING:
    from .agent import Agent as Agent
    from .agent import AgentConfig as AgentConfig
    from .errors import RlbenchError as RlbenchError
    from .errors import UsageError as UsageError
    from .judge.comparison import Comparison as Comparison
    from .judge.comparison import compare as compare
    from .learner import Learner as Learner
    from .recipe import Recipe as Recipe
    from .replay import Replay as Replay
    from .replay import Rollout as Rollout
    from .rng import Streams as Streams
    from .rollout.env_batch import EnvBatch as EnvBatch
    from .rollout.loop import run as run
    from .trained.load import Trained as Trained
    from .trained.load import evaluate as evaluate
    from .trained.load import load as load
    from .training.train import Run as Run
    from .training.train import resume as resume
    from .training.train import train as train
    from .types import Batch as Batch
    from .types import Spec as Spec
    from .types import Transition as Transition


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rlbench' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
