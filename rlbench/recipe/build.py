"""From a recipe to the parts of a run: device, environments, random streams, agent."""

import math
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from ..acting import inherited, wanted_with
from ..agent import Agent, AgentConfig
from ..border.calls import Border
from ..border.extras import find, forms, taken
from ..border.make import EnvMaker, env_maker, import_modules
from ..border.spaces import ActionCodec, ObsCodec, action_codec, obs_codec, spec_of
from ..border.wrappers import find_wraps, lasting
from ..cuda.graphs import compiled
from ..errors import RlbenchError, UsageError
from ..nn.lower import lowered
from ..process.settings import Restoring
from ..rng import Streams
from ..rollout.device_envs import PAGE, DeviceEnvs
from ..rollout.env_batch import EnvBatch
from ..types import Spec
from ..worlds.known import why_none, world_of
from .device import COSTS, SMALL, THERE, Costs, check_compiler, listed, resolve_device, settle, worth_a_card
from .memory import Need, check_memory, within_memory
from .recipe import Recipe, validate_hyper
from .registry import AgentEntry, agent_code, find_agent

_CPU = torch.device("cpu")
KEEP_COPIES = ("dqn", "ppo", "pqn", "sac")  # of what they are given, and give what stays as it is
MANY_OBS = 10_000  # distinct ones, of which a layer has a column each


class Parts(NamedTuple):
    maker: EnvMaker
    agent: Agent
    streams: Streams
    device: torch.device
    obs_codec: ObsCodec
    action_codec: ActionCodec
    notes: list[str]  # what the user should know
    need: Need | None  # of memory and disk, where the agent is to be trained
    made: Callable[[Sequence[int]], tuple[Agent, Streams]]  # builds the agent for other seed numbers
    spec: Spec  # the agent's, as on a CPU


def maker_of(recipe: Recipe, wants: Sequence[str] = ()) -> EnvMaker:
    """The recipe's environment in its wrappers; imports the modules that they need.

    Args:
        recipe: of the run.
        wants: what the agent wants to be told besides observations.
    """
    with Restoring() as kept:
        classes = import_modules(recipe.imports)
        wraps = find_wraps(recipe.wrappers, recipe.imports)
    if kept.folder is not None:  # where a module went, its environments look for their files
        os.chdir(kept.folder)
    return env_maker(
        recipe.env,
        recipe.env_kwargs,
        recipe.max_episode_steps,
        anew=recipe.fresh_envs,
        classes=classes,
        wraps=wraps,
        wants=wants,
    )


def build(
    recipe: Recipe,
    seeds: Sequence[int],
    device: str | torch.device,
    num_envs: int | None = None,
    *,
    train: int = 0,
) -> Parts:
    """Everything of a run but its environments, for the given seed numbers.

    Sets torch's number of CPU threads to the recipe's, and its current card to ``device`` if that is a numbered one.

    Args:
        recipe: of the run.
        seeds: the numbers of the agent's seeds.
        device: where it computes.
        num_envs: environments of each seed; None: as the recipe says.
        train: how many seeds are to be trained, here and in processes beside this one; 0: none, and what training
            would need of memory does not matter.

    Raises:
        UsageError: no such environment, agent or device, the agent cannot act in the environment, or there is not
            enough memory to train it.
    """
    torch.set_num_threads(recipe.threads)
    place = resolve_device(str(device))
    if recipe.compile:
        check_compiler(place)
    entry = find_agent(recipe.agent)
    config = validate_hyper(entry, recipe.hyper, "the recipe")
    maker = maker_of(recipe, wanted_with(entry.cls, config))
    env, without = maker(), taken(maker.extras)
    try:
        each = num_envs or recipe.num_envs
        spec = spec_of(
            env, recipe.env, len(seeds), each, _CPU, recipe.total_steps, maker.time_limit,
            extras=forms(maker.extras), without=without,
        )._replace(replay=recipe.replay, precision=recipe.precision)  # fmt: skip
        codecs = obs_codec(env.observation_space, recipe.env, without), action_codec(env.action_space, recipe.env)
        unheard = find(env, recipe.env, inherited(entry.cls, config))
    finally:
        env.close()

    made, notes = _builder(entry, config, recipe, spec), []
    if place.type != "cpu":
        if str(device) == "auto" and not _worth_a_card(made, seeds, spec, _costs(recipe, maker)):
            place, notes = _CPU, [SMALL]
        else:
            made = _builder(entry, config, recipe, _on(spec, place))
    settle(place)
    if place.type == "cuda":  # the same device gives the same numbers twice
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    agent, streams, need = within_memory(made, seeds, train, recipe, wide=_wide(spec))
    if recipe.precision != "float32" and not lowered(agent):
        raise UsageError(
            f"precision = {recipe.precision} is for networks with convolutions; {entry.name} has none for "
            f"{recipe.env} that can do with it. Leave it out, or: --set precision=float32"
        )
    note = codecs[0].note
    notes += [f"{recipe.env}: {note}."] if "flattened" in note or "scaled" in note else []
    notes += [] if recipe.fresh_envs else lasting(maker.wraps)
    if unheard:
        notes.append(
            f"{recipe.env} says {', '.join(source.text for source in unheard)}, which {entry.name}, whose act has no "
            "`extras`, is not told: def act(self, obs, *, explore, extras)."
        )
    notes += [env.problem] if isinstance(env, Border) and env.problem else []
    if spec.num_obs is not None and spec.num_obs >= MANY_OBS:
        notes.append(f"{recipe.env}: {spec.num_obs:,} distinct observations: networks have a column for each of them.")
    if need:
        check_memory(need, recipe)
    return Parts(maker, agent, streams, place, *codecs, notes, need, made, spec)


def trains_on_cpu(recipe: Recipe, processes: int) -> bool:
    """Whether training is to be on the CPU, where its seeds may be split over as many ``processes``."""
    if all(resolve_device(name).type == "cpu" for name in listed(recipe.device)):
        return True
    if recipe.device != "auto":
        return False
    parts = build(recipe, recipe.seed_numbers[:1], "cpu")
    return not worth_a_card(parts.agent, parts.spec, recipe.seeds, processes, _costs(recipe, parts.maker))


def _worth_a_card(
    made: Callable[[Sequence[int]], tuple[Agent, Streams]], seeds: Sequence[int], spec: Spec, costs: Costs
) -> bool:
    try:
        agent, _ = made(seeds[:1])
    except (MemoryError, RuntimeError, RlbenchError):  # will be raised again, and told as it should be
        return False
    return worth_a_card(agent, spec, len(seeds), costs=costs)


def _costs(recipe: Recipe, maker: EnvMaker) -> Costs:
    """Of a step, if a card were taken."""
    there = recipe.envs_on != "host" and not recipe.fresh_envs and not _by_episode(recipe)
    return THERE if there and world_of(maker) is not None else COSTS


def _builder(
    entry: AgentEntry, config: AgentConfig, recipe: Recipe, spec: Spec
) -> Callable[[Sequence[int]], tuple[Agent, Streams]]:
    """Builds the agent for any seed numbers."""

    def made(numbers: Sequence[int]) -> tuple[Agent, Streams]:
        streams = Streams(numbers, spec.device)
        try:
            with agent_code(recipe.agent, but=ValueError), compiled(recipe.compile):
                return entry.cls(spec._replace(num_seeds=len(numbers)), config, streams), streams
        except (ValueError, TypeError) as e:  # it says so itself, or its __init__ takes other arguments
            raise UsageError(f"{entry.name} cannot be built for {recipe.env}: {e}") from e

    return made


def _on(spec: Spec, device: torch.device) -> Spec:
    """``spec`` with its tensors on the device."""
    low, high = (None if bound is None else bound.to(device) for bound in (spec.action_low, spec.action_high))
    return spec._replace(device=device, action_low=low, action_high=high)


def _wide(spec: Spec) -> bool:
    """Whether the networks of all seeds may be too large to be built just to see how large they are."""
    return spec.num_seeds * (spec.num_obs or math.prod(spec.obs_shape)) >= 2**17


def settled(recipe: Recipe, maker: EnvMaker, *, on_card: bool) -> Recipe:
    """``recipe``, in which ``envs_on`` is not "auto" any more: where its training environments are stepped.

    Args:
        recipe: of the run.
        maker: of its environment.
        on_card: whether the agent computes on a card.

    Raises:
        UsageError: they are to be stepped on the device, and rlbench does not have them in torch.
    """
    if recipe.envs_on == "auto":
        there = on_card and not recipe.fresh_envs and world_of(maker) is not None
        return recipe.replace(envs_on="device" if there else "host")
    if recipe.envs_on == "device" and (why := why_none(maker)):
        raise UsageError(f"envs_on = device: {why} Leave them to Gymnasium: --set envs_on=host")
    return recipe


def _by_episode(recipe: Recipe) -> bool:
    """Whether a seed may stop with an episode, and is to do no step more: of every step is known what came of it."""
    return bool(recipe.max_episodes or (recipe.stop_when_solved and recipe.solved_by == "training"))


def make_envs(parts: Parts, recipe: Recipe) -> EnvBatch | DeviceEnvs:
    """The training environments of a `settled` recipe; of another one, those of Gymnasium."""
    seeds = recipe.seed_numbers
    if recipe.envs_on == "device":
        world = world_of(parts.maker)
        assert world is not None
        page = 1 if _by_episode(recipe) else PAGE
        lends = recipe.agent in KEEP_COPIES
        return DeviceEnvs(world, parts.maker, seeds, recipe.num_envs, device=parts.device, page=page, lends=lends)
    keep_going = recipe.on_nan == "skip-seed"
    return EnvBatch(parts.maker, seeds, recipe.num_envs, device=parts.device, keep_going=keep_going)
