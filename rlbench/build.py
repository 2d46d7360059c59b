"""From a recipe to the parts of a run: device, environments, random streams, agent."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from . import user_files
from .agent import Agent
from .border import Border
from .errors import UsageError
from .make import EnvMaker, env_maker, import_modules
from .recipe import Recipe, validate_hyper
from .refs import code_of
from .registry import agent_code, find_agent
from .rng import Streams
from .spaces import ActionCodec, ObsCodec, action_codec, obs_codec, spec_of
from .vec import EnvBatch


class Parts(NamedTuple):
    maker: EnvMaker
    agent: Agent
    streams: Streams
    device: torch.device
    obs_codec: ObsCodec
    action_codec: ActionCodec
    notes: list[str]  # what the user should know


def resolve_device(name: str) -> torch.device:
    """The device meant by ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UsageError: CUDA is asked for and not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= (torch.cuda.device_count() if torch.cuda.is_available() else 0):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        raise UsageError(
            f"--device {name}: torch {torch.__version__} sees {count} CUDA devices. Use --device cpu or auto."
        )
    return device


def maker_of(recipe: Recipe) -> EnvMaker:
    """The recipe's environment; imports the modules that register it."""
    classes = import_modules(recipe.imports)
    limit = recipe.max_episode_steps
    return env_maker(recipe.env, recipe.env_kwargs, limit, anew=recipe.fresh_envs, classes=classes)


def code_changes(folder: Path, recipe: Recipe) -> list[str]:
    """Notes about code of the user's that is not what it was when the run in ``folder`` began; it is imported."""
    return user_files.changes(folder, code_of(recipe.agent, recipe.imports))


def build(recipe: Recipe, seeds: Sequence[int], device: str | torch.device, num_envs: int | None = None) -> Parts:
    """Everything of a run but its environments, for the given seed numbers.

    Sets torch's number of CPU threads to the recipe's.

    Raises:
        UsageError: no such environment, agent or device, or the agent cannot act in the environment.
    """
    torch.set_num_threads(recipe.threads)
    place = resolve_device(str(device))
    if place.type == "cuda":  # the same device gives the same numbers twice
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    maker = maker_of(recipe)
    env = maker()
    try:
        spec = spec_of(env, recipe.env, len(seeds), num_envs or recipe.num_envs, place, recipe.total_steps)
        codecs = obs_codec(env.observation_space, recipe.env), action_codec(env.action_space, recipe.env)
    finally:
        env.close()
    entry = find_agent(recipe.agent)
    config = validate_hyper(entry, recipe.hyper, "the recipe")
    streams = Streams(seeds, place)
    try:
        with agent_code(recipe.agent, but=ValueError):
            agent = entry.cls(spec, config, streams)
    except (ValueError, TypeError) as e:  # it says so itself, or its __init__ takes other arguments
        raise UsageError(f"{entry.name} cannot be built for {recipe.env}: {e}") from e
    note = codecs[0].note
    notes = [f"{recipe.env}: {note}."] if "flattened" in note or "scaled" in note else []
    notes += [env.problem] if isinstance(env, Border) and env.problem else []
    return Parts(maker, agent, streams, place, *codecs, notes)


def make_envs(parts: Parts, recipe: Recipe) -> EnvBatch:
    """The training environments."""
    seeds, keep_going = recipe.seed_numbers, recipe.on_nan == "skip-seed"
    return EnvBatch(parts.maker, seeds, recipe.num_envs, device=parts.device, keep_going=keep_going)
