"""What a run recorded, opened without its agent: the environment, the journals, and the episodes that one may name."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..border.make import EnvMaker
from ..errors import RunFolderError, UsageError
from ..process.places import absolute, shown, staying
from ..recipe import Recipe
from ..recipe.build import maker_of
from ..runfolder import journal
from ..runfolder.journal import Entry, JournalFile
from ..runfolder.reader import Reader
from ..worlds.known import why_none, world_of
from ..worlds.lawful import lawful_maker
from ..worlds.world import World

#: An episode by what it was; of several that fit, the earliest.
WORDS: dict[str, Callable[[Sequence[Entry]], Entry]] = {
    "first": lambda entries: entries[0],
    "best": lambda entries: max(entries, key=lambda entry: entry.episode_return),
    "worst": lambda entries: min(entries, key=lambda entry: entry.episode_return),
    "last": lambda entries: entries[-1],
}


class Recording(NamedTuple):
    """A run's record. ``journals`` holds a file per seed that has finished an episode, in the order of the seeds."""

    reader: Reader
    recipe: Recipe
    maker: EnvMaker
    journals: dict[int, JournalFile]
    notes: tuple[str, ...] = ()  # what whoever opens it should know
    world: World | None = None  # what stepped its environments, where it was not Gymnasium

    @property
    def folder(self) -> Path:
        return self.reader.folder

    def entries(self, seed: int) -> list[Entry]:
        """The episodes of a seed, in the order in which they ended.

        Raises:
            UsageError: there is no such seed.
            CheckpointError: its journal is damaged.
        """
        return list(self.journal(seed).entries())

    def before(self, entry: Entry) -> Entry | None:
        """The episode that the same environment copy had just before ``entry``."""
        wanted = entry.env, entry.episode - 1
        return next((e for e in self.journal(entry.seed).entries() if (e.env, e.episode) == wanted), None)

    def journal(self, seed: int) -> JournalFile:
        """The file of a seed. Raises UsageError."""
        if seed in self.journals:
            return self.journals[seed]
        if seed in self.recipe.seed_numbers:
            raise UsageError(f"seed {seed} of {shown(self.folder)} has finished no episode that its journal tells of.")
        raise UsageError(f"{shown(self.folder)} has no seed {seed}; it has {', '.join(map(str, self.journals))}.")


class Chosen(NamedTuple):
    """An episode that was asked for, and the words that were used for it."""

    entry: Entry
    words: str = ""


def open_recording(folder: str | Path | Reader, *, agent: str | None = None, imports: Sequence[str] = ()) -> Recording:
    """Open a run folder's record. Needs no checkpoint, and runs no agent's code; the run may be under way.

    Args:
        folder: the run folder.
        agent: checked against the recipe's where it is given, and not needed.
        imports: modules that register the environment; needed where the run needed them.

    Raises:
        UsageError: no run folder, or code to import that was not confirmed.
        RunFolderError: it holds no journal, or its recipe cannot be read.
    """
    reader = folder if isinstance(folder, Reader) else Reader(absolute(folder))
    folder, name = reader.folder, reader.name
    recipe = reader.model()  # its hyper-parameters are of no use here
    recipe = recipe.trusting(agent or recipe.agent, imports, reader.called(folder / "recipe.toml"))
    journals = {int(file.stem): JournalFile(file) for file in journal.files(folder)}
    if not journals:
        raise RunFolderError(f"{name} has no journal: {_why_none(reader)}.")
    with staying():
        maker = maker_of(recipe)
        world = _world(recipe, maker)
    maker = maker if world is None else lawful_maker(maker, world)
    return Recording(reader, recipe, maker, journals, tuple(reader.code_notes(recipe.imports)), world)


def _world(recipe: Recipe, maker: EnvMaker) -> World | None:
    """What stepped the environments of a run, where it was not Gymnasium's own code."""
    if recipe.envs_on != "device":
        return None
    if why := why_none(maker):
        raise UsageError(f"the run's environments were stepped in torch, and are not there any more: {why}")
    return world_of(maker)


def choose(recording: Recording, which: str, seed: int | None = None) -> list[Chosen]:
    """The episodes that ``which`` names, in its order, none twice.

    Args:
        recording: of the run.
        which: a comma list of `WORDS`, of numbers as in the column ``episode`` of episodes.csv, and of N@E, which is
            episode N of environment copy E; needed where several copies of a seed have an episode N.
        seed: a seed number; None: the seed with the best episode, of several the first.

    Raises:
        UsageError: ``which`` makes no sense, or there is no such seed or episode.
        CheckpointError: a journal is damaged.
    """
    names = [name.strip() for name in which.split(",")]
    for name in names:
        if name not in WORDS and not re.fullmatch(r"\d+(@\d+)?", name, re.ASCII):
            raise UsageError(
                f"--episode {which!r}: {name!r} is neither a number, nor N@COPY, nor {', '.join(WORDS)}. "
                "Several are joined by commas: --episode first,best"
            )
    seed = _best_seed(recording) if seed is None else seed
    entries = recording.entries(seed)
    if not entries:
        raise UsageError(f"seed {seed} of {shown(recording.folder)} has finished no episode yet.")
    chosen: dict[Entry, list[str]] = {}
    for name in dict.fromkeys(names):
        entry = WORDS[name](entries) if name in WORDS else _numbered(recording, entries, name)
        chosen.setdefault(entry, []).extend([name] if name in WORDS else [])
    return [Chosen(entry, ", ".join(words)) for entry, words in chosen.items()]


def _numbered(recording: Recording, entries: Sequence[Entry], name: str) -> Entry:
    number, _, copy = name.partition("@")
    found = [e for e in entries if e.episode == int(number) and (not copy or e.env == int(copy))]
    if len(found) == 1:
        return found[0]
    seed = entries[0].seed
    if found:
        say = ", ".join(f"{e.episode}@{e.env}" for e in sorted(found[:3], key=lambda e: e.env))
        raise UsageError(
            f"seed {seed} of {shown(recording.folder)} has {len(found)} episodes {number}, one of each environment "
            f"copy. Say which: {say}{', ...' * (len(found) > 3)}"
        )
    of = [e.episode for e in entries if not copy or e.env == int(copy)]
    has = f"it has finished 0 to {max(of)}" if of else f"it has the copies 0 to {recording.recipe.num_envs - 1}"
    where = f"copy {copy} of seed {seed}" if of and copy else f"seed {seed}"
    raise UsageError(f"{where} of {shown(recording.folder)} has no finished episode {name}; {has}.")


def _best_seed(recording: Recording) -> int:
    best: tuple[float, int] | None = None
    for seed, file in recording.journals.items():  # more of them than may be open at once, perhaps
        highest = max((entry.episode_return for entry in file.entries()), default=None)
        if highest is None or (best and highest <= best[0]):
            file.close()
            continue
        if best:
            recording.journals[best[1]].close()
        best = highest, seed
    if best is None:
        raise UsageError(f"no episode has finished yet in {shown(recording.folder)}.")
    return best[1]


def _why_none(reader: Reader) -> str:
    if reader.table("episodes.csv").value:
        return "it was trained by a version that kept none, or the journal was deleted"
    return "no episode has finished yet"
