"""What is checked: an agent's class with its hyper-parameters, and where it fits."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gymnasium.envs.registration import EnvSpec
from pydantic import ValidationError

from ..acting import wanted_with
from ..agent import AgentConfig
from ..border.make import EnvMaker, env_maker, import_modules, known_as
from ..errors import RlbenchError, UsageError, first_line
from ..numbers import exact
from ..recipe.overrides import Bare, put, read
from ..recipe.recipe import validate_hyper
from ..recipe.registry import AgentEntry
from .answers import LeftOut
from .courses import COURSES, Course
from .fault import raised
from .trial import Trial

ENV = "env"  # the name of the place that a user asked for
CUT = 40  # steps after which episodes are cut there: ends are wanted

# What hyper-parameters become at most on courses, where they have these names (CONTRIBUTING.md): all comes sooner.
SHORT: dict[str, int] = {
    "learning_starts": 20,
    "epsilon_steps": 60,
    "capacity": 240,
    "batch_size": 10,
    "rollout_steps": 8,
    "epochs": 2,
    "train_every": 2,
    "target_update_every": 3,
    "memory_size": 9,
    "sequence_length": 4,
    "burn_in": 2,
    "hidden": 17,  # each width; odd, as some arithmetic is of a kind of its own there
}


class Fit(NamedTuple):
    """Where an agent fits: course -> why not, or ""; and what became of its hyper-parameters there."""

    why: dict[str, str]
    short: dict[str, Any]


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
        for fit in self._fits():
            self.fit, why = fit, {}
            for place in (*COURSES, *((ENV,) if self.env else ())):
                try:
                    self.trial(place)
                    why[place] = ""
                except (RlbenchError, ValueError, TypeError) as e:  # as `recipe.build` takes them
                    first = first or e
                    why[place] = str(e) if isinstance(e, RlbenchError) else raised(e, self.cls) or first_line(e)
            if not all(why.values()):
                return self.fit._replace(why=why)
        assert first is not None
        raise first

    def _fits(self) -> list[Fit]:
        """Hyper-parameters to try: short ones, if they are allowed, and then those that were asked for."""
        short = {name: x for name in SHORT if (x := self._shorter(name)) is not None}
        while short:
            try:
                self._config(short)
                break
            except ValidationError as e:
                names = {str(part) for error in e.errors() for part in error["loc"]} & short.keys()
                short = {name: x for name, x in short.items() if names and name not in names}
        return [Fit({}, short), Fit({}, {})] if short else [Fit({}, {})]

    def _shorter(self, name: str) -> Any:
        """What a hyper-parameter is to become; None: it stays as it is, or there is none."""
        value, most = getattr(self.config, name, None), SHORT[name]
        if name in self.given:
            return None
        if isinstance(value, (tuple, list)) and all(isinstance(x, int) for x in value):
            smaller = type(value)(min(x, most - 8 * i) if i < 2 else min(x, 9) for i, x in enumerate(value))
            return None if smaller == value else smaller
        return most if isinstance(value, int) and not isinstance(value, bool) and value > most else None

    def _config(self, changes: Mapping[str, Any]) -> AgentConfig:
        return type(self.config)(**{**self.config.model_dump(), **changes})

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
            known = {why for name in wanted if (why := self.fit.why.get(name))}
            raise LeftOut(f"it fits none of {', '.join(wanted)}: {'; '.join(sorted(known))}")
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

    def config_with(self, **changes: Any) -> AgentConfig:
        """Its hyper-parameters as on courses, with changes.

        Raises:
            LeftOut: it does not take them.
        """
        try:
            return self._config({**self.fit.short, **changes})
        except ValidationError as e:
            asked = ", ".join(f"{name}={value}" for name, value in changes.items())
            raise LeftOut(f"it does not take {asked}: {first_line(e)}") from e

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
        trial = Trial(self.cls, config, maker, [1000 * self.seed + s for s in seeds], num_envs, total_steps)
        self._newest = (self.described(place), trial)
        return trial

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
        return [f"{name} {_told(getattr(self.config, name))} -> {_told(x)}" for name, x in self.fit.short.items()]


def _told(value: Any) -> str:
    return exact(value) if isinstance(value, (int, float)) else str(list(value))


def subject(
    entry: AgentEntry,
    overrides: Iterable[str] | Mapping[Any, Any] = (),
    *,
    env: str | None = None,
    imports: Sequence[str] = (),
    seed: int = 0,
    quick: bool = False,
) -> Subject:
    """An agent to be checked, from what a user typed.

    Args:
        entry: from `rlbench.recipe.registry.find_agent`.
        overrides: hyper-parameters, "key=value" texts or a mapping; with or without the agent's name before the key.
        env: where rows that can look elsewhere than on courses are to look: an id, or code as for `rlbench train`.
        imports: what registers it.
        seed: of all random numbers.
        quick: whether time is short.

    Raises:
        UsageError: a hyper-parameter is unknown, or is missing and has no default; or there is no such environment.
    """
    hyper: dict[str, Any] = {}
    fields = entry.cls.Config.model_fields
    for path, value in read(overrides).items():
        own = path[1:] if len(path) > 1 and path[0] == entry.name else path
        if isinstance(value, Bare):
            value = value.meant(fields[own[0]].annotation if len(own) == 1 and own[0] in fields else Any)
        put(hyper, own, value)
    config = validate_hyper(entry, hyper, "--set" if hyper else f"{entry.name} without --set")
    maker = None
    if env is not None:
        env, named = known_as(env, imports)
        classes = import_modules(named)
        maker = env_maker(env, max_episode_steps=CUT, classes=classes, wants=wanted_with(entry.cls, config))
    elif imports:
        raise UsageError("--import is for the environment of --env ID, and there is none")
    return Subject(entry, config, hyper, env=maker, seed=seed, quick=quick)
