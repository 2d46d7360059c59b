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
    "Shared": "seed_axis",
    "UsageError": "errors",
    "resume": "api.train",
    "Run": "training.run",
    "Spec": "types",
    "Streams": "rng",
    "RunWarning": "errors",
    "Trained": "trained.load",
    "TrainedAgent": "api.trained",
    "Transition": "types",
    "compare": "judge.comparison",
    "evaluate": "api.trained",
    "load": "api.trained",
    "run": "rollout.loop",
    "train": "api.train",
}
__all__ = [  # noqa: RUF022  (in the order a reader meets them)
    "train", "resume", "evaluate", "load", "compare", "Comparison", "Run", "Trained", "TrainedAgent", "Recipe", "Agent",
    "AgentConfig", "Learner", "Shared", "Spec", "Transition", "Batch", "Replay", "Rollout", "Streams", "EnvBatch",
    "run", "RlbenchError", "UsageError", "RunWarning", "__version__",
]  # fmt: skip

if TYPE_CHECKING:
    from .agent import Agent as Agent
    from .agent import AgentConfig as AgentConfig
    from .api.train import resume as resume
    from .api.train import train as train
    from .api.trained import TrainedAgent as TrainedAgent
    from .api.trained import evaluate as evaluate
    from .api.trained import load as load
    from .errors import RlbenchError as RlbenchError
    from .errors import RunWarning as RunWarning
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
    from .seed_axis import Shared as Shared
    from .trained.load import Trained as Trained
    from .training.run import Run as Run
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
