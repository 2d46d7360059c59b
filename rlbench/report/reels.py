"""The moving part of a report: episodes of training, run again out of the journal, for the player."""

from collections.abc import Sequence
from typing import NamedTuple

from ..errors import RlbenchError, UsageError, first_line
from ..play.reel import Reel, training_reels
from ..recipe.registry import table_name
from ..rollout.camera import draws
from ..runfolder.reader import Reader
from ..trained.load import Trained, load
from ..trained.recording import Chosen, Recording, choose, open_recording
from ..trained.rerun import Replayed, check
from ..user_code.refs import confirmed
from .findings import ContestantRuns

BUDGET = 2_500_000  # bytes of pictures in the page, before base64 makes a third more of them
LONGEST = 3000  # steps of an episode: more takes a minute to draw, and nobody watches it to its end
MOST = 12  # episodes in the page


class EnvReels(NamedTuple):
    """What is shown of one environment."""

    env: str
    reels: list[Reel]  # empty: nothing
    notes: tuple[str, ...]  # why something is missing


def env_reels(
    contestants: Sequence[ContestantRuns], env: str, agents: Sequence[str], imports: Sequence[str], share: int
) -> EnvReels:
    """The first and the best episode of each contestant on an environment; of a single one the last one too.

    Needs no agent's code; where it can be loaded, the page shows its Q-values.

    Args:
        contestants: those with a run there are shown, while there is room.
        env: the environment.
        agents: code of agents that the user named.
        imports: modules that the user named.
        share: how many environments share the page.
    """
    here = [c for c in contestants if any(f.facts.env == env for f in c.folders)]
    which = "first,best,last" if len(here) == 1 else "first,best"
    room = max(1, MOST // (3 if len(here) == 1 else 2) // share)
    notes = []
    if len(here) > room:
        notes.append(
            f"Only {', '.join(c.label for c in here[:room])} can be watched: more would make the page too large."
        )
    reels = list[Reel]()
    for contestant in here[:room]:
        why = ""
        for folder in (f for f in contestant.folders if f.facts.env == env):
            try:
                found, more = _of_run(folder.reader, which, agents, imports, BUDGET // (share * min(room, len(here))))
            except RlbenchError as e:
                why = why or str(e)
                continue
            named = f"{contestant.label}: " if len(here) > 1 else ""
            reels += [reel._replace(title=named + reel.title) for reel in found]
            notes += more
            why = ""
            break
        if why:
            notes.append(f"No episodes of {contestant.label}: {why}")
    return EnvReels(env, reels, tuple(dict.fromkeys(notes)))


def _of_run(
    run: Reader, which: str, agents: Sequence[str], imports: Sequence[str], budget: int
) -> tuple[list[Reel], list[str]]:
    imports = confirmed(run.model().imports, imports).used  # the others are for other runs
    recording = open_recording(run, imports=imports)
    if not draws(recording.maker):
        raise UsageError(f"{recording.recipe.env} draws no pictures.")
    chosen, notes = _short(choose(recording, which))
    if not chosen:
        raise UsageError(notes[0])
    opened, why_not = _agent(recording, chosen, agents, imports)
    replayed: list[Replayed] = []
    reels = training_reels(recording, chosen, opened, replayed.append, why_not, budget)
    check(recording, replayed)
    return reels, notes


def _short(chosen: Sequence[Chosen]) -> tuple[list[Chosen], list[str]]:
    """Those that are not too long, and a sentence about the others."""
    kept = [one for one in chosen if one.entry.episode_length <= LONGEST]
    long = [one for one in chosen if one not in kept]
    notes = [f"The episode {one.words} has {one.entry.episode_length:,} steps, too many for this page." for one in long]
    return kept, notes


def _agent(
    recording: Recording, chosen: Sequence[Chosen], agents: Sequence[str], imports: Sequence[str]
) -> tuple[Trained | None, str]:
    """The agent of the chosen episodes' seed, or the end of a sentence on why it is not there."""
    wanted = recording.recipe.agent
    given = next((agent for agent in agents if table_name(agent) == table_name(wanted)), None)
    try:
        return load(recording.reader, seed=chosen[0].entry.seed, agent=given, imports=imports, device="cpu"), ""
    except RlbenchError as e:
        return None, f": {first_line(e).rstrip('.')}"
