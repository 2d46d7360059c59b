"""Opening what a run left behind: an agent ready to act, with its environment."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..acting import choose
from ..agent import Agent
from ..agent_state import pick
from ..border.extras import MASK, METHOD, read_one
from ..border.make import EnvMaker
from ..border.observations import Unfit
from ..cuda.failure import card_failure
from ..errors import CheckpointError, NoRun, RlbenchError, UsageError, first_line
from ..process.places import absolute, shown, staying
from ..recipe import Recipe
from ..recipe.build import Parts, build
from ..recipe.registry import given_class
from ..rollout.evaluation import FINAL_ROUND, EvaluationPlan, Evaluator
from ..rollout.stochastic import STREAM, play_stochastic
from ..runfolder import checkpoint_file
from ..runfolder.layout import under_way, whole_run
from ..runfolder.reader import Reader, no_run
from ..runfolder.workers import joined
from ..seed_axis import Axes
from ..types import NO_EXTRAS, Extras
from ..user_code.refs import code_of


class Trained(NamedTuple):
    """A trained agent, opened by `load`."""

    path: Path
    recipe: Recipe
    agent: Agent  # acts for `seeds`
    maker: EnvMaker  # makes its environment: trained.maker(render_mode="rgb_array")
    parts: Parts
    seeds: list[int]
    env_steps: int
    best_returns: dict[int, float]  # seed -> mean of its best greedy evaluation during training
    notes: tuple[str, ...] = ()  # what whoever opens it should know
    axes: Axes = None  # what belongs to the seeds in the agent's state, as far as it is known

    def reset(self) -> None:
        """An episode begins: an agent with memory forgets the one before. Call it with every `env.reset`."""
        started = torch.ones((len(self.seeds), 1), dtype=torch.bool, device=self.parts.device)
        self.agent.begin(started, explore=False)

    def act(self, obs: Any, info: Mapping[str, Any] | None = None) -> Any:
        """Greedy action of the first seed for one observation of the environment, as `env.step` takes it.

        Args:
            obs: as the environment gave it.
            info: what came with it, where the environment says there what the agent wants, such as an "action_mask".

        Raises:
            UsageError: the agent wants something, and neither ``obs`` nor ``info`` has it; or a mask allows no action.
        """
        batch, said = self.seen(obs), self.told(obs, info or {})
        if MASK in said and not said[MASK].any():
            raise UsageError(
                f"the {MASK} of {self.recipe.env} allows no action: where the episode is over, env.reset()"
            )
        action, _ = choose(self.agent, batch, said, explore=False)
        codec = self.parts.action_codec
        return codec.lend(codec.decode(action[:1])[0])

    def seen(self, obs: Any) -> Tensor:
        """One observation of the environment as the agent takes it, (S, 1, *O)."""
        form = self.parts.obs_codec
        try:
            one = torch.from_numpy(np.array(form.encode(obs), form.dtype)).to(self.parts.device)
        except Unfit as e:
            raise UsageError(f"{e}: it is no observation of {self.recipe.env}.") from e
        return one.expand(len(self.seeds), 1, *one.shape)

    def told(self, obs: Any, info: Mapping[str, Any]) -> Extras:
        """What the environment says besides, as the agent takes it, (S, 1, ...) each: see `act`."""
        if not self.maker.extras:
            return NO_EXTRAS
        try:
            said = read_one(self.maker.extras, obs, info)
        except Unfit as e:
            by_method = any(source.where == "method" for source in self.maker.extras)
            mask = f'act(obs, {{"{MASK}": env.get_wrapper_attr("{METHOD}")()}})'
            raise UsageError(
                f"{self.recipe.agent} wants to be told more of {self.recipe.env} than the observation, and {e}. Hand "
                f"over {f'what a method says: {mask}' if by_method else 'the info that came with it: act(obs, info)'}."
            ) from e
        seeds, device = len(self.seeds), self.parts.device
        return {name: torch.from_numpy(x).to(device).expand(seeds, 1, *x.shape) for name, x in said.items()}


def load(
    path: str | Path | Reader,
    *,
    seed: int | Literal["best", "all"] = "all",
    agent: str | type | None = None,
    imports: Sequence[str] = (),
    device: str = "auto",
    newest: bool = False,
) -> Trained:
    """Open a checkpoint, or the best one of a run folder.

    Args:
        path: ``checkpoint.pth``, ``best.pth`` or a run folder (its ``best.pth`` if there is one), or one's reader.
        seed: one seed number, the one with the best evaluation during training, or all of them.
        agent: needed where the agent is code of your own: file.py:Class, package.module:Class or the class itself.
        imports: modules to import for the environment; needed where the run needed them.
        device: auto, cpu, cuda or cuda:N.
        newest: of a run folder, open its newest checkpoint and not its best one.

    Raises:
        CheckpointError: missing, damaged, or not a checkpoint.
        UsageError: no such seed, or code to run that was not confirmed.
    """
    agent = given_class(agent) if isinstance(agent, type) else agent
    given = path if isinstance(path, Reader) else None
    file, content = _open(absolute(path.folder if isinstance(path, Reader) else path), newest)
    with staying():
        return _load(given or Reader(whole_run(file.parent)), file, content, seed, agent, imports, device)


def _load(
    reader: Reader,
    path: Path,
    content: dict[str, Any],
    seed: int | Literal["best", "all"],
    agent: str | None,
    imports: Sequence[str],
    device: str,
) -> Trained:
    where = shown(path)
    try:
        recipe = Recipe.from_content(content["recipe"], where).trusting(agent, imports, where)
        seeds = [int(s) for s in content["seeds"]]
        returns = dict(zip(seeds, map(float, content["best_returns"]), strict=True))
        chosen = seeds if seed == "all" else [max(seeds, key=lambda s: returns[s]) if seed == "best" else seed]
        if missing := [s for s in chosen if s not in seeds]:
            raise UsageError(f"{where} has no seed {missing[0]}; it has {', '.join(map(str, seeds))}.")
        acting = recipe.replace(replay="host", compile=False)  # which takes little time, and none of a card's memory
        parts = build(acting, chosen, device)
        state, axes = content["agent"], content.get("axes")
        if seed != "all":
            state = pick(state, seeds.index(chosen[0]), len(seeds), axes)
        parts.agent.load_state_dict(state)
        env_steps = int(content["env_steps"])
    except RlbenchError:
        raise
    except Exception as e:  # an agent may check its state as it likes, by assert too
        if card_failure(e):
            raise
        raise CheckpointError(f"{where} does not fit its agent or environment: {first_line(e)}") from e
    notes = tuple(reader.code_notes(code_of(recipe.agent, recipe.imports)))
    trained = Trained(path, recipe, parts.agent, parts.maker, parts, chosen, env_steps, returns, notes, axes)
    trained.reset()
    return trained


def _open(path: Path, newest: bool) -> tuple[Path, dict[str, Any]]:
    """The checkpoint meant by ``path``: that file, or the best one (or the newest) of a run folder, which may be under
    way."""
    if not path.is_dir():
        if path.suffix != ".pth":
            raise NoRun(no_run(path))
        return path, checkpoint_file.load(path, "checkpoint")
    workers = under_way(path)
    names = ("best.pth", "checkpoint.pth")
    for name in reversed(names) if newest else names:
        if workers and all((place / name).is_file() for place in workers):
            return path / name, joined(path, name)
        if (path / name).is_file():
            return path / name, checkpoint_file.load(path / name, "checkpoint")
    if not (path / "recipe.toml").is_file():
        raise NoRun(no_run(path))
    raise NoRun(f"{shown(path)} holds no checkpoint yet.")


def evaluate(
    trained: Trained | str | Path,
    episodes: int = 100,
    *,
    stochastic: bool = False,
    look: Callable[[EvaluationPlan], None] = lambda plan: None,
    **how: Any,
) -> np.ndarray:
    """Greedy returns on environments of their own.

    Args:
        trained: from `load`, or a path for it.
        episodes: per seed. The same episodes every time.
        stochastic: let the agent act as it explores, epsilon-greedily or drawing from its policy, as it stood when it
            was saved. It draws from streams of this evaluation's own: the same numbers every time, none of the run's.
        look: called with what has been played before every step; what it raises ends the evaluation.
        how: `load`'s arguments, where a path is given.

    Returns:
        (S, episodes) float64.

    Raises:
        UsageError: no episode; or as for `load`.
    """
    if episodes < 1:
        raise UsageError(f"evaluate needs at least one episode, not {episodes}")
    if not isinstance(trained, Trained):
        trained = load(trained, **how)
    if stochastic:
        return _stochastic(trained, episodes, look)
    evaluator = Evaluator(trained.maker, trained.seeds, trained.parts.device)
    with staying():
        try:
            returns, _ = evaluator(trained.agent, episodes, round=FINAL_ROUND, look=look)
        finally:
            evaluator.close()
            trained.reset()
    return returns


def _stochastic(trained: Trained, episodes: int, look: Callable[[EvaluationPlan], None]) -> np.ndarray:
    """As `evaluate`, by a copy of the agent, which `act` changes."""
    parts = trained.parts
    with staying():
        agent, streams = parts.made(trained.seeds)
        agent.load_state_dict(trained.agent.state_dict())
        streams.divert(STREAM)
        each = trained.recipe.num_envs
        return play_stochastic(agent, trained.maker, trained.seeds, each, episodes, parts.device, look=look)
