"""What all processes of a search share: Optuna's study, the folder, and who carries out which trial.

    OUT/study.json        what is searched; a search for something else is refused
    OUT/study.log         Optuna's journal, unless the storage is a URL
    OUT/trials/N/         the run of trial N, an ordinary run folder
    OUT/.claims/N/        the lock that the process holds which drives trial N

A trial belongs to the process that holds its claim. The system lets go of it when the process ends, however that
happens: a trial that runs, whose claim nobody holds and in whose folder nobody trains, is taken over and resumed.
Asking for a trial and claiming it happen under one lock of the whole search, so that no two processes take the same.
"""

import contextlib
import json
import secrets
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import RunFolderError, UsageError, first_line
from ..files import write_json
from ..process.places import shown
from ..runfolder.lock import Lock, holder
from ..tunefile.file import TuneFile
from ..tunefile.same import base_values, first_difference, what_is_searched
from ..tunefile.samplers import open_sampler, optuna
from ..tunefile.space import Dimension

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

ABOUT, JOURNAL, TRIALS, CLAIMS, FINAL = "study.json", "study.log", "trials", ".claims", "final"
PATIENCE = 120.0  # seconds that others may take to ask for a trial
_ATTR = "rlbench"
_WHOLE = "The runs beside it are whole; put it back from a copy, or search anew in another --out."


class AskedTrial(NamedTuple):
    """A trial that this process carries out.

    Attributes:
        number: 0, 1, ...
        values: dotted key -> value, of all that is searched.
        folder: its run folder.
        trial: Optuna's.
        claim: the lock that is held meanwhile.
        taken_over: whether another process began it.
    """

    number: int
    values: dict[str, Any]
    folder: Path
    trial: "Trial"
    claim: Lock
    taken_over: bool


class SharedStudy:
    """A search that this process has joined.

    Args:
        out: its folder; made if need be.
        file: what is searched.

    Attributes:
        optuna: the study itself.
        begins_with: the base recipe's values, with which trial 0 begins; None where they are not in the space.

    Raises:
        UsageError: the folder, or the study in the storage, is another search's, or the study of its runs is lost.
    """

    def __init__(self, out: Path, file: TuneFile) -> None:
        self.out, self.file = out, file
        self._mine: dict[int, Lock] = {}
        self.begins_with = base_values(file)
        if out.exists() and not out.is_dir():
            raise UsageError(f"--out {shown(out)} is a file. Name a folder for the search.")
        if (out / "recipe.toml").exists():
            raise UsageError(f"--out {shown(out)} is a run folder. Name another for the search.")
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise RunFolderError(f"cannot write {shown(out)}: {e.strerror or e}.") from e
        with self.alone():
            self.locks = bool(holder(out))  # else the file system knows none, and nobody can be told to have died
            self.optuna = self._join()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Context in which no other process of this search asks for trials, claims them or writes the report."""
        with Lock(self.out, patience=PATIENCE):
            yield

    def trials(self, *states: str) -> "list[FrozenTrial]":
        """All trials, or those in these states, as "COMPLETE", "PRUNED", "FAIL", "RUNNING", by their numbers."""
        wanted = tuple(optuna().trial.TrialState[name] for name in states) or None
        return sorted(self.optuna.get_trials(deepcopy=False, states=wanted), key=lambda trial: trial.number)

    def folder(self, number: int) -> Path:
        """The run folder of a trial."""
        return self.out / TRIALS / str(number)

    def next(self) -> AskedTrial | None:
        """A trial to carry out: one whose process has died, or else a new one; None while there is neither."""
        with self.alone():
            return self._orphan() or self._new()

    def finish(self, asked: AskedTrial, value: float | None, state: str = "COMPLETE", **facts: Any) -> None:
        """Tell how a trial ended, and let go of it. ``facts`` are kept with it."""
        self.tell_only(asked, state, value, **facts)
        self.let_go(asked.number)

    def tell_only(self, asked: AskedTrial, state: str, value: float | None = None, **facts: Any) -> None:
        """As `finish`, of a trial whose process is still at work in its folder."""
        for key, fact in facts.items():
            asked.trial.set_user_attr(key, fact)
        self.optuna.tell(asked.trial, value, optuna().trial.TrialState[state], skip_if_finished=True)

    def let_go(self, number: int) -> None:
        """Let another process take over a trial."""
        self._mine.pop(number).release()

    def claim(self, name: str) -> Lock | None:
        """The lock of something that one process alone does; None where another one does it."""
        place = self.out / CLAIMS / name
        place.mkdir(parents=True, exist_ok=True)
        try:
            return Lock(place, patience=0)
        except RunFolderError:
            return None

    def _new(self) -> AskedTrial | None:
        waiting = len(self.trials("WAITING"))
        if len(self.trials()) - waiting >= self.file.settings.trials:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Optuna thinks of a sampler's settings
            trial = self.optuna.ask()
            return self._asked(trial, taken_over=False)

    def _orphan(self) -> AskedTrial | None:
        if not self.locks:
            return None
        for frozen in self.trials("RUNNING"):
            if frozen.number in self._mine or holder(self.folder(frozen.number)):
                continue
            claim = self.claim(str(frozen.number))
            if claim is not None:
                trial = optuna().trial.Trial(self.optuna, frozen._trial_id)
                return self._asked(trial, taken_over=True, claim=claim)
        return None

    def _asked(self, trial: "Trial", *, taken_over: bool, claim: Lock | None = None) -> AskedTrial:
        """Its values, of which those that are stored stay."""
        claim = claim or self.claim(str(trial.number))
        if claim is None:
            raise RunFolderError(f"another process holds trial {trial.number} of {shown(self.out)}.")
        values = {one.key: one.value(_suggest(trial, one)) for one in self.file.space}
        self._mine[trial.number] = claim
        return AskedTrial(trial.number, values, self.folder(trial.number), trial, claim, taken_over)

    def _join(self) -> "Study":
        """The study, made or found; refuses that of another search."""
        wanted = what_is_searched(self.file)
        path = self.out / ABOUT
        about = _read(path)
        if about is None and (strange := next(filter(_is_strange, self.out.iterdir()), None)):
            raise UsageError(
                f"--out {shown(self.out)} holds no search, but {strange.name}. Name an empty folder, or a search's."
            )
        if about is not None and (differs := first_difference(about, wanted)):
            raise UsageError(f"{shown(self.out)} searches something else: {differs}. Choose another --out.")
        identity = secrets.token_hex(8) if about is None else str(about.get("id"))
        # A crash may have come before there was a study, but not after a run has begun.
        begun = about is not None and any(any((self.out / name).glob("*")) for name in (TRIALS, FINAL))
        if begun and self.file.settings.storage == "journal" and not (self.out / JOURNAL).exists():
            raise self._gone(f"its {JOURNAL}")
        study = self._open()
        known = study.user_attrs.get(_ATTR)
        if begun and known is None:
            raise self._gone(f"its study {study.study_name!r} in the storage")
        if known is not None and known.get("id") != identity:
            name = study.study_name
            raise UsageError(
                f"the storage has a study {name!r} already, of another search. Name another one: [search] study = "
                '"NAME", or the --out of that search.'
            )
        if about is None:
            write_json(path, {"id": identity, "study": study.study_name, **wanted}, sync=True)
        if known is None:  # a crash may have come in between
            if self.begins_with is not None and not study.get_trials(deepcopy=False):
                study.enqueue_trial(self.begins_with)
            study.set_user_attr(_ATTR, {"id": identity, **wanted})
        return study

    def _gone(self, what: str) -> UsageError:
        """That a study is lost, whose runs are still there: which of them had which values only it can tell."""
        return UsageError(
            f"{shown(self.out)} holds the runs of a search, and {what}, which says what they were, is gone. Put it "
            "back, or search anew in another --out."
        )

    def _open(self) -> "Study":
        settings = self.file.settings
        module = optuna()
        try:
            if settings.storage == "journal":
                from .journal import open_journal

                storage: Any = open_journal(self.out / JOURNAL)
            else:
                storage = module.storages.get_storage(settings.storage)
            return module.create_study(
                storage=storage,
                sampler=open_sampler(settings.sampler),
                pruner=module.pruners.NopPruner(),
                study_name=settings.study or self.out.resolve().name,
                direction="maximize",
                load_if_exists=True,
            )
        except RunFolderError:
            raise
        except Exception as e:  # of a database's driver, a server, a URL that is none
            raise UsageError(
                f"[search] storage: Optuna cannot open it: {type(e).__name__}: {first_line(e)[:200]}"
            ) from e


def _is_strange(path: Path) -> bool:
    """Whether no search leaves such a thing before its study.json."""
    return not path.name.startswith((".", JOURNAL))


def _suggest(trial: "Trial", one: Dimension) -> Any:
    if one.kind == "choice":
        return trial.suggest_categorical(one.key, one.stored)
    if one.kind == "int":
        return trial.suggest_int(one.key, int(one.low), int(one.high), step=int(one.step) or 1, log=one.log)
    return trial.suggest_float(one.key, one.low, one.high, step=one.step or None, log=one.log)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as e:
        raise RunFolderError(f"{shown(path)} is damaged: {first_line(e)}. {_WHOLE}") from e
    if not isinstance(found, dict):
        raise RunFolderError(f"{shown(path)} is damaged: it is no table. {_WHOLE}")
    return found
