"""Which seeds count where runs are pooled: a seed of one experiment counts once, by its longest history.

Ten runs of seed 0 are no ten pieces of evidence: they begin with the same weights and draw the same numbers. So a seed
that several runs trained (with other budgets, again after it was killed, in a copied folder, on other processes) is one
seed, and of its histories the longest stands for it. Curves, scores, verdicts and reports all count by this rule.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..user_code.refs import parse
from .tables import Columns

#: Run keys that shape what a seed learns, and what they are where a recipe does not say. Budgets, stop rules, when to
#: evaluate, save or film, devices and processes do not: they decide how far a seed comes and what is kept of it.
SHAPING: dict[str, Any] = {
    "env_kwargs": {},
    "wrappers": [],  # of code of one's own, by the path of the file
    "max_episode_steps": 0,
    "fresh_envs": False,
    "num_envs": 1,
}


class Experiment(NamedTuple):
    """What is trained: the same for two runs that differ in seeds and budgets alone."""

    env: str
    agent: str  # of code of one's own, the path of the file
    settings: tuple[tuple[str, str], ...]  # sorted
    spans: bool  # whether what is learned depends on how many steps are planned, as a falling learning rate does


class TrainedSeed(NamedTuple):
    """One seed of one run."""

    run: Path
    experiment: Experiment
    number: int
    reached: float  # env steps
    over: bool  # its run came to its end
    story: np.ndarray  # (n,) of `story_of`, or none: what happened; of two runs of one seed the same


class Repeat(NamedTuple):
    """A seed that counts already, by a longer history."""

    at: int  # its position
    kept: int  # the position of the other
    agrees: bool  # its history is the beginning of the other, or all of it


def story_of(rows: Columns) -> np.ndarray:
    """What happened to a seed: a digest of each of its n episodes, wall time left out. (n,) uint64

    Two runs that trained the same seed, wherever and however fast, have the same episodes and so the same digests.
    """
    story = np.zeros(len(rows["episode"]), np.uint64)
    for name in ("env", "episode", "env_steps", "episode_return", "episode_length"):
        bits = np.asarray(rows[name]).view(np.uint64)
        story = (story ^ bits) * np.uint64(0x9E3779B97F4A7C15)  # an odd number: nothing is lost by it
        story ^= story >> np.uint64(32)
    return story


def experiment_of(recipe: Mapping[str, Any]) -> Experiment:
    """What a parsed recipe.toml trains."""
    agent = str(recipe.get("agent"))
    table = agent.rpartition(":")[2]
    hyper = recipe.get(table, {})
    settings = {key: recipe.get(key, other) for key, other in SHAPING.items()}
    settings |= {f"{table}.{key}": value for key, value in hyper.items()} if isinstance(hyper, dict) else {}
    return Experiment(
        _known(str(recipe.get("env"))),
        _known(agent),
        tuple(sorted((key, json.dumps(value, sort_keys=True, default=str)) for key, value in settings.items())),
        isinstance(hyper, dict) and hyper.get("learning_rate_end") not in (None, hyper.get("learning_rate")),
    )


def _known(name: str) -> str:
    """An agent's or environment's name; where it is a class in a file, one for all spellings of the file's path."""
    ref = parse(name)
    return str(ref._replace(where=str(Path(ref.where).resolve()))) if ref.is_file else name


def count_once(seeds: Sequence[TrainedSeed]) -> tuple[list[int], list[Repeat]]:
    """Which of the seeds count, as positions in order, and which repeat one of those.

    Two are one seed if they have one number and one experiment; where one recipe has keys that the other one lacks, the
    history of one has to begin the other's besides.
    """
    by_number: dict[int, list[int]] = defaultdict(list)
    for i, seed in enumerate(seeds):
        by_number[seed.number].append(i)
    kept: list[int] = []
    repeats: list[Repeat] = []
    for same in by_number.values():
        chosen: list[int] = []
        for i in sorted(same, key=lambda i: (-seeds[i].reached, not seeds[i].over, -len(seeds[i].story), i)):
            k = next((k for k in chosen if is_same(seeds[i], seeds[k])), None)
            if k is None:
                chosen.append(i)
            else:
                repeats.append(Repeat(i, k, begins(seeds[i].story, seeds[k].story)))
        kept += chosen
    return sorted(kept), sorted(repeats)


def is_same(a: TrainedSeed, b: TrainedSeed) -> bool:
    """Whether two are one seed."""
    if a.number != b.number:
        return False
    return a.experiment == b.experiment or (are_kin(a.experiment, b.experiment) and shares_story(a, b))


def are_kin(a: Experiment, b: Experiment) -> bool:
    """Whether two may be one experiment: what both say is the same; other versions know other keys."""
    ours, theirs = dict(a.settings), dict(b.settings)
    return a[:2] == b[:2] and all(ours[key] == theirs[key] for key in ours.keys() & theirs.keys())


def shares_story(a: TrainedSeed, b: TrainedSeed) -> bool:
    """Whether what happened to one seed is what happened to the other, as far as both were trained."""
    if not len(a.story) or not len(b.story):  # nothing is recorded
        return a.number == b.number and a.run.resolve() == b.run.resolve()
    return a.number == b.number and (begins(a.story, b.story) or begins(b.story, a.story))


def begins(story: np.ndarray, other: np.ndarray) -> bool:
    """Whether ``other`` tells the same, and perhaps more."""
    return len(story) <= len(other) and bool(np.array_equal(story, other[: len(story)]))


def note_of(seeds: Sequence[TrainedSeed], repeats: Sequence[Repeat]) -> str:
    """Which seeds count by which run; nothing where no seed was trained twice."""
    pairs: dict[tuple[Path, Path], list[Repeat]] = defaultdict(list)
    for repeat in repeats:
        pairs[seeds[repeat.at].run, seeds[repeat.kept].run].append(repeat)
    which = "; ".join(_in_words(seeds, *pair, found) for pair, found in pairs.items())
    return f"{len(repeats)} of {len(seeds)} seeds only repeat another and do not count again: {which}" if which else ""


def _in_words(seeds: Sequence[TrainedSeed], run: Path, other: Path, repeats: Sequence[Repeat]) -> str:
    """Of two runs that trained the same seeds."""
    longer = "for longer" if any(seeds[r.kept].reached > seeds[r.at].reached for r in repeats) else "as well"
    differ = "" if all(r.agrees for r in repeats) else ", with the same settings and another outcome"
    numbers = spans([seeds[r.at].number for r in repeats])
    return f"{numbers} of {run}, trained {longer} in {other}{differ}"


def spans(numbers: Sequence[int]) -> str:
    """Whole numbers as "0 to 4, 7"."""
    found: list[list[int]] = []
    for n in sorted(set(numbers)):
        if found and n == found[-1][1] + 1:
            found[-1][1] = n
        else:
            found.append([n, n])
    return ", ".join(str(a) if a == b else f"{a}, {b}" if b == a + 1 else f"{a} to {b}" for a, b in found)
