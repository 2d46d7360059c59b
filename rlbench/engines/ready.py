"""Imports all that runs of the built-in agents import in their course, so that processes forked from here need not."""

import importlib

from ..cells import life
from ..plots import learning
from ..recipe.registry import BUILT_IN, find_agent
from ..track import tensorboard

LATER = ("matplotlib.figure", "matplotlib.backends.backend_agg", "gymnasium.envs.classic_control")


def ready() -> tuple[object, ...]:
    """Import them; nothing is computed yet, so that each process still takes its own mode of MKL."""
    agents = [find_agent(name) for name in BUILT_IN]
    return (life, learning, tensorboard, agents, [importlib.import_module(name) for name in LATER])
