"""`inspect`: looks into every seed of a trained agent, and says what is wrong with it. Reads, and writes nothing."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from ..agent import Agent
from ..agent_state import pick, snapshot
from ..errors import CheckpointError, RlbenchError, first_line
from ..process.places import shown, staying
from ..recipe.registry import agent_code
from ..recipe.shares import shares
from ..runfolder import checkpoint_file
from ..runfolder.layout import whole_run, worker_folders
from ..runfolder.reader import Reader
from ..trained.explain import discount
from ..trained.load import Trained, load
from ..trained.recording import Recording, open_recording
from ..user_code.commands import ref
from .buffer import BufferStats, buffer_stats
from .findings import Finding, findings
from .gradients import GradientStats, learn_once
from .look import SeedLook, look
from .networks import networks
from .observed import Observed, played, recorded, states_of
from .overestimation import doubtful, gap
from .values import ValueStats


class Inspection(NamedTuple):
    """What is inside a trained agent.

    Attributes:
        path: the checkpoint.
        env: its environment.
        agent: its name.
        env_steps: after which the weights were saved.
        source: where the states are from that it was asked about.
        gamma: its discount per step, if its hyper-parameters name one.
        seeds: a look into each.
        findings: what is wrong, by seed.
        notes: what whoever reads it should know.
    """

    path: Path
    env: str
    agent: str
    env_steps: int
    source: str
    gamma: float | None
    seeds: list[SeedLook]
    findings: dict[int, list[Finding]]
    notes: list[str]

    def content(self) -> dict[str, Any]:
        """Plain values, for JSON: numbers that are not finite are None."""
        seeds = [
            {**_plain(one), "findings": [finding.text for finding in self.findings[one.seed]]} for one in self.seeds
        ]
        own = {"path": shown(self.path), "env": self.env, "agent": self.agent, "env_steps": self.env_steps}
        return {**own, "states": self.source, "gamma": self.gamma, "notes": self.notes, "seeds": seeds}


def inspect(
    path: str | Path | Reader,
    *,
    seed: int | Literal["all"] = "all",
    agent: str | type | None = None,
    imports: Sequence[str] = (),
    most: int | None = None,
) -> Inspection:
    """Look into a checkpoint, or the newest one of a run folder. Nothing in the folder changes.

    Args:
        path: a checkpoint, or a run folder.
        seed: one seed number, or all of them.
        agent: where its code is, if it is code of your own.
        imports: modules that register the environment.
        most: of so many seeds at most, evenly spread, and a note says of which; None: of all.

    Raises:
        CheckpointError: missing, damaged, or not a checkpoint.
        UsageError: no such seed, or code to run that was not confirmed.
        AgentError: its code raised, or gave something else than it should.
    """
    trained = load(path, seed=seed, agent=agent, imports=imports, device="cpu", newest=True)
    reader = path if isinstance(path, Reader) else Reader(whole_run(trained.path.parent))
    notes, looks = list(trained.notes), list[SeedLook]()
    recording = _recording(reader, trained, agent, imports)
    state, sources = snapshot(trained.agent.state_dict()), list[str]()
    buffers = _Buffers(reader, trained)
    gamma = discount(trained.recipe)
    if trained.recipe.hyper.get("normalise_rewards") and gamma is not None:
        notes.append("rewards are normalised before they are learned from: values are in other units than returns")
        gamma = None
    chosen = list(enumerate(trained.seeds))
    if most is not None and len(chosen) > most:
        chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, most).round().astype(int)]
        named = ", ".join(str(number) for _, number in chosen)
        notes.append(f"of {len(trained.seeds)} seeds {most} were looked into: {named}")
    with staying(), agent_code(trained.recipe.agent):
        for i, number in chosen:
            one = _alone(trained, state, i, number)
            observed = recording and recorded(recording, trained, number)
            notes += [note for note in (observed.notes if observed else ()) if note not in notes]
            observed = observed if observed and observed.courses else played(one, trained, number)
            sources.append(observed.source)
            found, told = _look(buffers, one, number, observed, gamma)
            looks.append(found)
            notes += [note for note in told if note not in notes]
    return Inspection(
        path=trained.path,
        env=trained.recipe.env,
        agent=ref(trained.recipe.agent),
        env_steps=trained.env_steps,
        source="; of some seeds ".join(dict.fromkeys(sources)),
        gamma=gamma,
        seeds=looks,
        findings={one.seed: findings(one) for one in looks},
        notes=notes,
    )


def _look(
    buffers: "_Buffers", one: Agent, seed: int, observed: Observed, gamma: float | None
) -> tuple[SeedLook, list[str]]:
    """Everything about one seed, and what to say of it. ``one`` is another agent afterwards."""
    trained = buffers.trained
    spec, recipe = trained.parts.spec, trained.recipe
    buffer, notes = buffers.fill(one, seed)
    rewards = (buffer.rewards.low, buffer.rewards.high) if buffer else None
    found = look(
        one, seed, observed.courses, states_of(len(spec.obs_shape)),
        gamma=gamma, time_limit=spec.time_limit, num_actions=spec.num_actions, rewards=rewards,
    )  # fmt: skip
    found = found._replace(values=_doubted(found, one, trained, [*_rewards(observed), *(rewards or ())]))
    gradients = None
    if found.networks:
        try:
            gradients = learn_once(one, networks(one), trained.maker, seed, recipe.num_envs)
        except RlbenchError as e:
            notes.append(f"it did not learn on: {first_line(e)}")
    return found._replace(buffer=buffer, gradients=gradients or _recorded_norm(buffers.reader, seed)), notes


def _doubted(found: SeedLook, one: Agent, trained: Trained, rewards: Sequence[float]) -> ValueStats | None:
    """The values of a seed; where what came in training leaves a doubt of them, it plays on."""
    values, policy = found.values, found.policy
    if values is None or values.gamma is None or not rewards:
        return values
    bounds = min(rewards), max(rewards)
    if not doubtful(values, bounds):
        return values
    explore = values.q_values is None and not (policy.entropy is None and policy.std is None)
    return values._replace(gap=gap(one, trained.maker, found.seed, values.gamma, bounds, explore=explore))


def _rewards(observed: Observed) -> list[float]:
    return [x for course in observed.courses for x in course.rewards if math.isfinite(x)]


def _alone(trained: Trained, state: dict[str, Any], i: int, seed: int) -> Agent:
    """An agent of the seed at position ``i`` alone."""
    one, streams = trained.parts.made([seed])
    try:
        one.load_state_dict(pick(state, i, len(trained.seeds), trained.axes))
    except RlbenchError:
        raise
    except Exception as e:  # an agent may check its state as it likes
        raise CheckpointError(f"{shown(trained.path)} does not fit its agent: {first_line(e)}") from e
    streams.divert("inspect")
    return one


def _recording(reader: Reader, trained: Trained, agent: str | type | None, imports: Sequence[str]) -> Recording | None:
    if not (reader.folder / "recipe.toml").is_file():
        return None
    try:
        return open_recording(reader, agent=None, imports=imports)
    except RlbenchError:  # no journal yet, or none any more
        return None


class _Buffers:
    """The replay buffers of a run as they were saved, each file read once.

    Args:
        reader: of the run.
        trained: of the run.
    """

    def __init__(self, reader: Reader, trained: Trained) -> None:
        self.reader, self.trained = reader, trained
        self._saved: dict[Path, Any] = {}

    def fill(self, one: Agent, seed: int) -> tuple[BufferStats | None, list[str]]:
        """Give the agent of one seed its buffer, and say what is in it, and what is to be known of that."""
        replay: Any = one.replay
        if replay is None:
            return None, []
        place, i, n = self._place(seed)
        path = place / "replay.pth"
        name = shown(path)
        if not path.is_file():
            return None, [f"there is no {name}: what the buffer held is not known"]
        try:
            if path not in self._saved:
                self._saved[path] = checkpoint_file.load(path, "replay")
            saved = self._saved[path]
            replay.load_state_dict(pick(saved["replay"], i, n))
        except RlbenchError as e:
            return None, [str(e).rstrip(".")]
        except Exception as e:  # a buffer of somebody's own may check its state as it likes
            return None, [f"{name} does not fit its agent: {first_line(e)}"]
        found, at = buffer_stats(replay), saved.get("env_steps")
        return found, [f"the replay buffer is of env step {at:,}"] if found and at != self.trained.env_steps else []

    def _place(self, seed: int) -> tuple[Path, int, int]:
        """The folder of a seed's buffer, its position there, and of how many."""
        whole = self.trained.recipe.seed_numbers
        for place, share in zip(worker_folders(self.reader.folder), shares(self.trained.recipe), strict=False):
            if seed in share.seed_numbers:
                return place, share.seed_numbers.index(seed), share.seeds
        return self.trained.path.parent, whole.index(seed), len(whole)


def _recorded_norm(reader: Reader, seed: int) -> GradientStats | None:
    """The newest norm that updates.csv has."""
    columns = reader.table("updates.csv").value.get(seed, {})
    norms = [x for x in columns.get("grad_norm", ()) if not math.isnan(x)]
    return GradientStats("the last row of updates.csv", float(norms[-1]), {}, {}) if norms else None


def _plain(value: Any) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {key: _plain(inner) for key, inner in value._asdict().items()}
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
