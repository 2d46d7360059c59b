"""What is checked: an agent's class with its hyper-parameters, and where it fits."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, get_args

from gymnasium.envs.registration import EnvSpec
from pydantic import ValidationError

from ..acting import wanted_with
from ..agent import AgentConfig
from ..agent_state import pick
from ..border.make import EnvMaker, env_maker
from ..errors import RlbenchError, first_line
from ..recipe.registry import AgentEntry
from ..seed_axis import AxisError, axes_of
from .answers import LeftOut
from .courses import COURSES, Course
from .fault import raised
from .names import called
from .shorter import changed, shortened, told
from .trial import Trial

ENV = "env"  # the name of the place that a user asked for
SAYS = "Where it is not meant to act it is to say so, by rlbench.UsageError"
CUT = 40  # steps after which episodes are cut there: ends are wanted


class Fit(NamedTuple):
    """Where an agent fits.

    Attributes:
        why: course -> why it does not fit there, or "".
        short: what became of its hyper-parameters there.
        memory: the kind of memory that it can be given by its hyper-parameter of that name; "": none.
    """

    why: dict[str, str]
    short: dict[str, Any]
    memory: str = ""


class Subject:
    """An agent's class as it is to be checked.

    Args:
        entry: the class, by its name.
        config: its hyper-parameters as they were asked for.
        given: which of them the user chose: they stay as they are.
        env: makes the environment that the user asked for, if any.
        env_id: its name.
        seed: of all random numbers.
        quick: whether time is short.

    Attributes:
        fit: where it fits, once that is known; `Fit` of no course before.
    """

    def __init__(
        self,
        entry: AgentEntry,
        config: AgentConfig,
        given: Iterable[str] = (),
        *,
        env: EnvMaker | None = None,
        seed: int = 0,
        quick: bool = False,
    ) -> None:
        self.entry, self.cls, self.config, self.given = entry, entry.cls, config, frozenset(given)
        self.env, self.seed, self.quick = env, seed, quick
        self.fit = Fit({}, {})
        self._makers: dict[Any, EnvMaker] = {}
        self._newest: tuple[str, Trial | None] | None = None

    @property
    def name(self) -> str:
        return self.entry.name

    # Where it fits.

    def try_courses(self) -> Fit:
        """Build it on every course, and say where that went well; where not, what was said.

        Raises:
            Exception: whatever it raises, where it fits nowhere.
        """
        first: BaseException | None = None
        why: dict[str, str] = {}
        short = shortened(self.config, self.given)
        for fit in [Fit({}, short), Fit({}, {})] if short else [Fit({}, {})]:
            self.fit, why = fit, {}
            for place in (*COURSES, *((ENV,) if self.env else ())):
                try:
                    self.trial(place)
                    why[place] = ""
                except Exception as e:
                    first = first or e
                    slip = raised(e, self.cls) or first_line(e)
                    why[place] = str(e) if isinstance(e, RlbenchError) else f"{slip}. {SAYS}"
            if not all(why.values()):
                self.fit = fit._replace(why=why)
                return self.fit._replace(memory=self._memory())
        assert first is not None
        raise first

    def _memory(self) -> str:
        """The kind of memory that it has where its configuration says so; "": none, or it has it already."""
        field = type(self.config).model_fields.get("memory")
        if field is None or not self.has("memory"):
            return ""
        for kind in get_args(field.annotation):
            if kind != getattr(self.config, "memory", None):
                with contextlib.suppress(RlbenchError, ValueError, TypeError, LeftOut):
                    self.trial(self.places()[0], config=self.config_with(memory=kind))
                    return str(kind)
        return ""

    def places(self, *courses: str) -> list[str]:
        """Where to look: the environment that the user asked for, or those of the courses on which it fits.

        Raises:
            LeftOut: none is left.
        """
        if self.env is not None:
            if why := self.fit.why.get(ENV):
                raise LeftOut(f"it does not fit {self.env.env_id}: {why}")
            return [ENV]
        return self.fitting(*courses)

    def fitting(self, *courses: str) -> list[str]:
        """Those of the courses, or of all where none is named, on which it fits.

        Raises:
            LeftOut: there is none.
        """
        wanted = courses or tuple(COURSES)
        found = [name for name in wanted if self.fit.why.get(name) == ""]
        if not found:
            raise LeftOut(f"it does not fit {', '.join(wanted)}")  # why, is told at the head of the table
        return found

    @property
    def first(self) -> str:
        """The course that most rows look at."""
        return self.fitting()[0]

    def described(self, place: Any) -> str:
        """A place, as it is named in evidence."""
        if place == ENV and self.env is not None:
            return self.env.env_id
        return place if isinstance(place, str) else place.__name__

    # How it is built there.

    def has(self, *names: str) -> bool:
        """Whether it has hyper-parameters of these names that the user left to us."""
        fields = type(self.config).model_fields
        return all(name in fields and name not in self.given for name in names)

    def called(self, name: str) -> str:
        """The hyper-parameter that it calls so, or by another name that is known; "" if none was left to us."""
        return called(self.config, name, self.given)

    def config_with(self, **changes: Any) -> AgentConfig:
        """Its hyper-parameters as on courses, with changes.

        Raises:
            LeftOut: it does not take them.
        """
        try:
            return changed(self.config, {**self.fit.short, **changes})
        except ValidationError as e:
            asked = ", ".join(f"{name}={value}" for name, value in changes.items())
            raise LeftOut(f"it does not take {asked}: {first_line(e)}") from e

    def variants(self) -> list[tuple[str, AgentConfig]]:
        """Where to look, and with which hyper-parameters: as it is, and on one course with the memory it may have."""
        places = self.places()
        if "masked" in places and "masked-indices" in places:  # each half of it is there
            places.remove("masked-indices")
        found = [(place, self.config_with()) for place in (places[:1] if self.quick else places)]
        if self.fit.memory and not self.quick:
            found.append((places[0], self.config_with(memory=self.fit.memory)))
        return found

    def maker(self, place: Any, **kwargs: Any) -> EnvMaker:
        """Makes the environment of a place: `ENV`, a course, one of Gymnasium's ids, or an environment's class."""
        if place == ENV:
            assert self.env is not None
            return self.env
        key = (place, *sorted(kwargs.items()))
        if key not in self._makers:
            wants, classes = wanted_with(self.cls, self.config), {}
            name = place if isinstance(place, str) else place.__name__
            if name in COURSES or not isinstance(place, str):
                entry: Any = Course if isinstance(place, str) else place
                classes[name] = EnvSpec(name, entry_point=entry, disable_env_checker=True)
            self._makers[key] = env_maker(name, {**COURSES.get(name, {}), **kwargs}, classes=classes, wants=wants)
        return self._makers[key]

    def trial(
        self,
        place: Any = "",
        seeds: Sequence[int] = (0, 1),
        num_envs: int = 2,
        *,
        config: AgentConfig | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
        total_steps: int = 2_000,
    ) -> Trial:
        """It, newly built, before its first step.

        Args:
            place: as for `maker`; "": the first course.
            seeds: the numbers of its S seeds, counted from the subject's own.
            num_envs: E.
            config: None: as `config_with` without changes has it.
            env_kwargs: for the environment's constructor.
            total_steps: that it is told.
        """
        place = place or self.first
        maker = self.maker(place, **(env_kwargs or {}))
        self._newest = (self.described(place), None)
        config = config or self.config_with()
        numbers = [1000 * self.seed + s for s in seeds]
        try:
            trial = Trial(self.cls, config, maker, numbers, num_envs, total_steps)
        except RlbenchError as e:
            if not self.fit.why:  # it is being found out where it fits
                raise
            raise LeftOut(f"it cannot be built on {self.described(place)} with E = {num_envs}: {e}") from e
        self._newest = (self.described(place), trial)
        return trial

    def seed_of(self, trial: Trial, position: int) -> dict[str, Any]:
        """A copy of what one seed of a trial holds, but for the count of updates, which any of them may have made."""
        held, found = trial.held(), {}
        two, three = (self._beside(trial, n).held() for n in (2, 3))
        for part in ("agent", "replay"):
            try:
                axes = axes_of(two[part], three[part], (2, 3))
            except AxisError:  # a row of its own says so
                axes = None
            found[part] = pick(held[part], position, len(trial.seeds), axes)
        if isinstance(found["agent"], dict):
            found["agent"].pop("updates", None)
        return found

    def _beside(self, trial: Trial, seeds: int) -> Trial:
        """The same agent in the same place for another number of seeds, before its first step."""
        return Trial(
            trial.cls, trial.config, trial.envs.maker, range(seeds), trial.spec.num_envs, trial.spec.total_steps
        )

    @property
    def course(self) -> str:
        """The course that the newest trial is on, if it is on one and was built; "" elsewhere."""
        place, trial = self._newest or ("", None)
        return place if trial is not None and place in COURSES else ""

    def whereabouts(self) -> str:
        """Where the newest trial is, and how far, for evidence."""
        if self._newest is None:
            return "before it was built"
        place, trial = self._newest
        if trial is None:
            return f"on {place}, while it was built"
        steps, updates = (
            f"{n:,} {what}{'s'[: n != 1]}" for n, what in ((trial.taken, "step"), (trial.updates, "update"))
        )
        return f"on {place} after {steps} and {updates}"

    @property
    def changes(self) -> list[str]:
        """What became of hyper-parameters on courses, "name 1,000 -> 20" each."""
        return told(self.config, self.fit.short)
