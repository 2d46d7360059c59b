"""Whether a run folder holds what the environment gave: its journal, its tables, its checkpoint and its buffer."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from .cases import Case
from .values import build, untold, vector


class Play(NamedTuple):
    """An episode as the environment tells of it, as far as it went: ``rewards`` is None where one was no number."""

    obs: list[Any]
    actions: list[Any]
    rewards: list[float | None]
    flags: list[tuple[Any, Any]]
    inside: bool


def account(place: Path, parts: list[str]) -> tuple[dict[int, list[Play]], set[str]]:
    """By the seed of its reset, every play of an episode, the longest first; and the types that actions came in."""
    plays: dict[int, list[Play]] = {}
    types: set[str] = set()
    for part in parts:
        for path in sorted((place / "account" / part).glob("*.jsonl"), key=lambda p: p.stat().st_mtime_ns):
            for seed, play in _plays(path, types):
                if seed is not None:
                    plays.setdefault(seed, []).append(play)
    for several in plays.values():
        several.sort(key=lambda play: -len(play.actions))
    return plays, types


def _plays(path: Path, types: set[str]) -> Iterator[tuple[int | None, Play]]:
    seed, play = None, None
    for line in path.read_text().splitlines():
        try:
            kind, *rest = json.loads(line)
        except ValueError:  # cut off by a kill
            continue
        if kind == "reset":
            if play is not None:
                yield seed, play
            seed, play = rest[0], Play([untold(rest[1])], [], [], [], True)
        elif play is not None:
            given, reward, terminated, truncated, obs, inside, name = rest
            types.add(name)
            play.actions.append(untold(given))
            play.rewards.append(number(untold(reward)))
            play.flags.append((untold(terminated), untold(truncated)))
            play.obs.append(untold(obs))
            play = play._replace(inside=play.inside and inside)
    if play is not None:
        yield seed, play


def number(value: Any) -> float | None:
    """A reward as a number that float32 holds, or None."""
    try:
        array = np.asarray(value, np.float64)
        with np.errstate(over="ignore"):
            return float(array.item()) if array.size == 1 and np.isfinite(np.float32(array)).all() else None
    except (ValueError, TypeError, OverflowError):
        return None


def flag(value: Any) -> bool | None:
    """A flag as a truth value, or None where it is not clear which."""
    try:
        array = np.asarray(value, np.float64)
        return bool(array.item()) if array.size == 1 and array.item() in (0.0, 1.0) else None
    except (ValueError, TypeError, OverflowError):
        return None


def silent_changes(run: Path, place: Path, case: Case, parts: list[str]) -> list[str]:
    """What the run's record says otherwise than the environment does, of its training episodes."""
    from rlbench import rng
    from rlbench.recipe import Recipe
    from rlbench.runfolder import checkpoint_file, journal
    from rlbench.runfolder.layout import under_way, worker_folders

    plays, types = account(place, parts)
    wrong: list[str] = []
    rows: dict[tuple[int, int, int], dict[Any, Any]] = {}
    for folder in under_way(run) or [run]:
        with (folder / "episodes.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                rows[int(row["seed"]), int(row["env"]), int(row["episode"])] = row
    entries = [entry for path in journal.files(run) for entry in journal.entries(path)]
    seen = set()
    for entry in entries:
        name = f"episode {entry.episode} of seed {entry.seed}, env {entry.env}"
        taken, n = journal.actions(entry), entry.episode_length
        play = _closest(plays.get(entry.reset_seed, []), taken, entry.episode_return)
        line = rows.get((entry.seed, entry.env, entry.episode))
        seen.add((entry.seed, entry.env, entry.episode))
        if play is None:
            wrong.append(f"{name} is in the journal and was never played")
            continue
        if n != len(play.actions) or not all(_same(a, b) for a, b in zip(taken, play.actions, strict=True)):
            wrong.append(f"{name}: the journal has the actions {taken[:4]}, the environment got {play.actions[:4]}")
        if None in play.rewards:
            wrong.append(f"{name} holds a reward that is no number and was recorded as {entry.episode_return}")
        elif not _close(play, entry.episode_return):
            wrong.append(f"{name}: return {entry.episode_return} recorded, the rewards {play.rewards} given")
        if any(flag(f) is None for pair in play.flags for f in pair):
            wrong.append(f"{name} holds a flag that is neither true nor false")
        elif play.flags and flag(play.flags[-1][0]) != entry.terminated:
            wrong.append(f"{name}: terminated {entry.terminated} recorded, {play.flags[-1][0]} given")
        if line is None:
            wrong.append(f"{name} is not in episodes.csv")
        elif int(line["episode_length"]) != n or line["episode_return"] != f"{entry.episode_return:.10g}":
            wrong.append(f"{name}: episodes.csv has {line['episode_return']} in {line['episode_length']} steps")
    wrong += [f"episode {key} is in episodes.csv alone" for key in rows if key not in seen]
    if not all(play.inside for several in plays.values() for play in several):
        wrong.append("the environment was given an action outside its space")
    if types & {"int", "float", "list"}:
        wrong.append(f"actions came as {sorted(types)}, not as action_space.sample() gives them")
    for folder in worker_folders(run) or [run]:
        if not (folder / "checkpoint.pth").exists():
            continue
        content = checkpoint_file.load(folder / "checkpoint.pth", "checkpoint")
        recipe, steps = Recipe.from_content(content["recipe"], "it"), int(content["env_steps"])
        of_training = {
            rng.episode_seed(seed, "env", env, episode): (seed, env)
            for seed in recipe.seed_numbers
            for env in range(recipe.num_envs)
            for episode in range(60)
        }
        if case.exact and "training" in content:
            counts = dict.fromkeys(of_training.values(), 0)
            for reset in plays.keys() & of_training.keys():
                counts[of_training[reset]] += len(plays[reset][0].actions)
            fewest = min(counts.values())
            if fewest * recipe.num_envs < steps:
                wrong.append(f"{steps} steps are said to be done, {fewest * recipe.num_envs} were")
        known = [play for reset in plays.keys() & of_training.keys() for play in plays[reset]]
        wrong += _buffer(folder, recipe, case, known, steps)
    return wrong


def _closest(plays: list[Play], taken: list[Any], total: float) -> Play | None:
    """Of several plays of an episode, the one that was recorded; where none is it, the longest."""
    for play in sorted(plays, key=lambda play: any(flag(f) is None for pair in play.flags for f in pair)):
        acted = len(play.actions) == len(taken) and all(map(_same, taken, play.actions))
        if acted and None not in play.rewards and _close(play, total):
            return play
    return plays[0] if plays else None


def _same(recorded: Any, given: Any) -> bool:
    return bool(np.array_equal(np.asarray(recorded), np.asarray(given)))


def _close(play: Play, total: float) -> bool:
    return abs(sum(filter(None, play.rewards)) - total) <= 1e-9 * max(1, abs(total))


def _buffer(folder: Path, recipe: Any, case: Case, plays: list[Play], steps: int) -> list[str]:
    """What the replay buffer holds and the environment never gave."""
    from rlbench.runfolder import checkpoint_file

    if not (folder / "replay.pth").exists():
        return []
    space = build(case.obs)
    rows: set[bytes] = set()
    for play in plays:
        stored = [_scaled(space, vector(space, obs)) for obs in play.obs]
        for k, (action, reward, (terminated, _)) in enumerate(zip(play.actions, play.rewards, play.flags, strict=True)):
            before, after, dead = stored[k], stored[k + 1], flag(terminated)
            if before is None or after is None or reward is None or dead is None:
                continue
            rows.add(_row(case, action, reward, dead, before, after))
    held = checkpoint_file.load(folder / "replay.pth", "replay")["replay"]
    wrong = []
    for action, reward, dead, obs, next_obs in _transitions(recipe, case, held):
        if _row(case, action, reward, dead, obs, next_obs) not in rows:
            row = f"{obs[:6]}, {action}, {reward}, {next_obs[:6]}"
            wrong.append(f"the buffer holds a transition that the environment never gave: {row}")
    return wrong[:2]


def _scaled(space: Any, numbers: np.ndarray | None) -> np.ndarray | None:
    """What stands for an observation: a board of small numbers, declared with bounds of its own, goes from 0 to 1."""
    board = isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) in (2, 3)
    if numbers is None or not board or ((space.low == 0).all() and (space.high == 255).all()):
        return numbers
    low, high = (bound.astype(np.float64).reshape(-1) for bound in (space.low, space.high))
    return (numbers - low) / np.maximum(high - low, 1)


def _row(case: Case, action: Any, reward: float, dead: bool, obs: np.ndarray, next_obs: np.ndarray) -> bytes:
    taken = np.asarray(action, np.float64).reshape(-1)
    if case.action[0] == "Box" and case.action[-1] not in ("float32", "float64"):
        taken = taken[:0]  # what the agent chose was brought to the space's own numbers
    parts = (taken, [reward, dead], obs, next_obs)
    return np.concatenate(parts).astype(np.float32).tobytes()


def _transitions(recipe: Any, case: Case, held: dict[str, Any]) -> Iterator[tuple[Any, float, bool, Any, Any]]:
    """The transitions of a saved buffer, in the environment's own terms."""
    import torch

    from rlbench.border.spaces import obs_codec, spec_of
    from rlbench.replay import Replay
    from rlbench.rng import Streams

    space, actions = build(case.obs), build(case.action)
    pretended: Any = type("Pretended", (), {"observation_space": space, "action_space": actions})
    spec = spec_of(pretended, "odd", recipe.seeds, recipe.num_envs, torch.device("cpu"))
    discrete = obs_codec(space, "odd").num_obs
    replay = Replay(spec, 4096, Streams(recipe.seed_numbers)["judge"], gamma=0.5)
    replay.load_state_dict(held)
    if not len(replay):
        return
    batch = replay.sample(4 * len(replay))
    start = np.ravel(getattr(actions, "start", 0))
    for s in range(recipe.seeds):
        for b in range(batch.reward.shape[1]):
            obs, next_obs = (x[s, b].numpy() for x in (batch.obs, batch.next_obs))
            if discrete:
                obs, next_obs = (np.eye(discrete)[int(x)] for x in (obs, next_obs))
            action = batch.action[s, b].numpy().reshape(-1) + start
            reward, dead = float(batch.reward[s, b]), float(batch.discount[s, b]) == 0
            yield action, reward, dead, np.reshape(obs, -1), np.reshape(next_obs, -1)
