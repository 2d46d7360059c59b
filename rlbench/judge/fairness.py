"""Whether runs may be compared at all: conditions that differ, seeds that are shared, and what weakens a verdict."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ..runfolder.pooling import TrainedSeed, are_kin, shares_story
from .contestants import Contestant
from .evidence import CONDITIONS, Score

FEW = 10  # seeds
UNRELIABLE = f"with fewer than {FEW}, intervals are unreliable"

_WORDS = {
    "env_kwargs": "arguments of the environment",
    "wrappers": "wrappers of the environment",
    "max_episode_steps": "time limit",
    "fresh_envs": "way to begin an episode",
    "total_steps": "budget",
    "max_episodes": "budget of episodes",
    "stop_when_solved": "stop rule",
    "eval_every": "steps between evaluations",
    "eval_episodes": "number of episodes in an evaluation",
    "final_eval_episodes": "number of episodes in the final evaluation",
}


def find_differences(groups: Sequence[Contestant], envs: Sequence[str]) -> tuple[str, ...]:
    """Sentences on what makes the runs not comparable; none if nothing does."""
    found: list[str] = []
    for env in envs:
        for key in CONDITIONS:
            values = {g.label: sorted({run.conditions[key] for run in g.runs_on(env)}) for g in groups}
            if difference := _differs(values):
                found.append(f"{env}: not the same {_WORDS[key]} ({key}): {difference}")
        if not all(run.over for g in groups for run in g.runs_on(env)):
            reached = {g.label: sorted({f"{run.horizon:,.0f}" for run in g.runs_on(env)}) for g in groups}
            if difference := _differs(reached):
                found.append(f"{env}: not all have ended; env steps so far: {difference}")
    counting = {g.label: [run for env in g.seeds for run in g.runs_on(env)] for g in groups}
    packages = sorted({name for runs in counting.values() for run in runs for name in run.versions})
    for name in packages:
        versions = {label: sorted({run.versions.get(name, "unknown") for run in r}) for label, r in counting.items()}
        if difference := _differs(versions):
            found.append(f"not the same version of {name}: {difference}")
    everywhere = sorted({env for g in groups for env in g.seeds})
    for env in everywhere:
        if env not in envs:
            without = [g.label for g in groups if env not in g.seeds]
            rivals = [other for other in everywhere if other != env and _base(other) == _base(env)]
            why = f"; {rivals[0]} is another version of it, and not the same environment" if rivals else ""
            found.append(f"{env} is left out: {', '.join(without)} has no run on it{why}")
    return tuple(found)


def find_warnings(
    groups: Sequence[Contestant], envs: Sequence[str], same: Mapping[str, bool], score: Score
) -> list[str]:
    """What else weakens a verdict."""
    found = [text for group in groups for text in group.mixed]
    for group in groups:
        few = {env: len(group.seeds[env]) for env in envs if len(group.seeds[env]) < FEW}
        if few:
            where = ", ".join(f"{n} on {env}" for env, n in few.items()) if len(envs) > 1 else str(*few.values())
            plural = "" if where == "1" else "s"
            found.append(f"{group.label} has {where} seed{plural}: {UNRELIABLE}")
    for group in groups[1:]:
        both = _shared(group, groups[0], envs)
        if both and not same[group.label]:
            plural = f"{both} seeds of {group.label} are" if both > 1 else f"one seed of {group.label} is"
            found.append(f"{plural} also in {groups[0].label}, episode by episode: the two are not independent")
    if score == "best":
        found.append('the score "best" is of weights selected by evaluation, which flatters agents that vary')
    return found


def same_seeds(groups: Sequence[Contestant], envs: Sequence[str]) -> dict[str, bool]:
    """Whether each contestant has just the seeds of the first one, and for as long: label -> yes or no."""
    return {group.label: all(_same_on(group, groups[0], env) for env in envs) for group in groups}


def _same_on(group: Contestant, other: Contestant, env: str) -> bool:
    ours, theirs = (sorted(g.trained_on(env), key=lambda seed: seed.number) for g in (group, other))
    return len(ours) == len(theirs) and all(
        are_kin(a.experiment, b.experiment) and shares_story(a, b) and len(a.story) == len(b.story)
        for a, b in zip(ours, theirs, strict=True)
    )


def _shared(group: Contestant, other: Contestant, envs: Sequence[str]) -> int:
    """How many seeds of a contestant another one has too, trained for as long or not."""
    count = 0
    for env in envs:
        theirs: dict[int, list[TrainedSeed]] = defaultdict(list)
        for seed in other.trained_on(env):
            theirs[seed.number].append(seed)
        count += sum(any(shares_story(seed, b) for b in theirs[seed.number]) for seed in group.trained_on(env))
    return count


def _differs(values: Mapping[str, Sequence[str]]) -> str:
    """What each has, if not all have the same one value; else nothing."""
    if len({value for several in values.values() for value in several}) < 2:
        return ""
    return ", ".join(f"{label} {' and '.join(several)}" for label, several in values.items())


def _base(env: str) -> str:
    """The name without its version: CartPole-v1 -> CartPole."""
    name, dash, version = env.rpartition("-v")
    return name if dash and version.isdigit() else env
