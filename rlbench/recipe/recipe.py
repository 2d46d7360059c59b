"""Recipes: TOML files that hold everything about a run, validated before anything starts."""

import difflib
import math
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ..agent import AgentConfig
from ..border.make import known_as
from ..errors import UsageError
from ..user_code.commands import code_words
from ..user_code.commands import ref as shown_ref
from ..user_code.refs import HANDED, confirmed, is_env_class, parse, placed, runs_user_code
from ..user_code.wrapping import canonical, relocated
from .device import checked
from .find import _read
from .overrides import Bare, KeyPath, put, read
from .problems import check_types, first_problem, value_text
from .registry import AgentEntry, agent_names, find_agent, table_name
from .usual import usual
from .wrapped import with_code, wrapped


def _plain(value: Any, depth: int = 0) -> Any:
    """``value``, if TOML and checkpoints give it back as it is: a date, an infinity or None would come back changed."""
    if depth > 20:
        raise ValueError("tables and lists are nested too deeply")
    if isinstance(value, (list, tuple, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            _plain(inner, depth + 1)
    elif not isinstance(value, (bool, int, float, str)) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError("values must be finite numbers, booleans, texts, lists or tables")
    return value


Plain = Annotated[dict[str, Any], AfterValidator(_plain)]


def _names(value: Any) -> Any:
    """A list of names, which may be given as one text with commas; "none" is the empty list."""
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",")]
    return [name for name in dict.fromkeys(value) if name != "none"] if isinstance(value, (list, tuple)) else value


def _wrappers(value: Any) -> Any:
    """Wrappers, each in one spelling; a text is one of them."""
    texts = [value] if isinstance(value, str) else value
    return canonical(texts) if isinstance(texts, (list, tuple)) and all(isinstance(t, str) for t in texts) else value


Wrappers = Annotated[tuple[str, ...], BeforeValidator(_wrappers)]
Trackers = Annotated[tuple[Literal["tensorboard", "wandb", "trackio"], ...], BeforeValidator(_names)]


class Recipe(BaseModel):
    """A validated recipe. Steps and episodes are counted per seed.

    ``hyper`` is the agent's table, complete with defaults; in the file it is named after the agent, as in ``[dqn]``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    env: str = Field(min_length=1, description="Gymnasium id, or the name of a class that `imports` names")
    env_kwargs: Plain = Field({}, description="arguments of the environment's constructor")
    imports: tuple[str, ...] = Field(
        (), description="modules, file.py or file.py:Class of the environment; run only if named by --import or --env"
    )
    wrappers: Wrappers = Field(
        (),
        description="put around it, the first innermost: gymnasium.wrappers:CLASS(name=value), file.py:CLASS, ...",
    )
    agent: str = Field("dqn", description="name, package.module:Class or file.py:Class")
    seed: int = Field(0, ge=0, lt=2**63, description="the first seed")
    seeds: int = Field(10, ge=1, le=10_000, description="how many seeds train side by side")
    num_envs: int = Field(1, ge=1, le=10_000, description="environments per seed")
    total_steps: int = Field(100_000, ge=1, description="env steps per seed")
    max_episodes: int = Field(0, ge=0, description="a seed stops after so many episodes; 0: no limit")
    max_episode_steps: int = Field(
        0, ge=0, description="an episode is cut after so many steps, or after fewer where the environment says so"
    )
    envs_on: Literal["auto", "host", "device"] = Field(
        "auto",
        description="host: environments as they are; device: in torch, beside the agent, where rlbench has them so; "
        "auto: there on a card",
    )
    fresh_envs: bool = Field(
        False, description="make environments again for every episode, where they keep something over a reset"
    )
    device: Annotated[str, AfterValidator(checked)] = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)(, *(auto|cpu|cuda(:\d+)?))*$",
        description="auto, cpu, cuda or cuda:N; several cards share the seeds: cuda:0,cuda:1",
    )
    replay: Literal["auto", "device", "host"] = Field(
        "auto",
        description="where replay buffers lie: in the memory of the device, of the host, or of a card where there is "
        "ample room for them; changes no result",
    )
    compile: bool = Field(
        False, description="put what an agent computes through torch.compile; results are exact without"
    )
    precision: Literal["float32", "bf16"] = Field(
        "float32", description="in which networks of images multiply; bf16: half the memory, and quicker on a card"
    )
    threads: int = Field(1, ge=1, le=1024, description="CPU threads of torch; results are exact with 1")
    workers: int = Field(
        0,
        ge=0,
        le=1024,
        description="processes that the seeds are split over; changes no result. 0: `rlbench train` "
        "takes one per CPU core, a Python program one",
    )
    eval_every: int = Field(10_000, ge=0, description="steps between greedy evaluations; 0: only at the end")
    eval_episodes: int = Field(10, ge=1, description="episodes of an evaluation during training, at most")
    final_eval_episodes: int = Field(100, ge=0, description="episodes of the evaluations at the end, at most; 0: none")
    eval_share: float = Field(
        0.25,
        ge=0,
        le=1e9,
        description="an evaluation takes at most this share of the env steps trained (of those since the last one, "
        "during training), but ten episodes at least",
    )
    checkpoint_every: int = Field(
        10_000, ge=0, description="steps between checkpoints, if they take under 2 % of the time; 0: only at the end"
    )
    checkpoint_minutes: float = Field(10.0, ge=0, description="minutes after which a checkpoint is due too; 0: never")
    keep_checkpoints: int = Field(2, ge=1, le=1000, description="how many steps' checkpoints stay, besides the best")
    on_nan: Literal["stop", "skip-seed"] = Field(
        "stop", description="a loss, reward or observation is not finite: stop the run, or go on without that seed"
    )
    log_every: int = Field(500, ge=1, description="steps between rows of updates.csv, where there were updates")
    track: Trackers = Field(
        ("tensorboard",), description="where numbers go besides the CSV files: tensorboard, wandb, trackio, or none"
    )
    video_every: int = Field(0, ge=0, description="steps between films of a greedy episode, in videos/; 0: none")
    debug_every: int = Field(
        0, ge=0, description="steps between looks inside the agent, for debug.csv and warnings; 0: none"
    )
    solved_at: float | None = Field(None, description="return that counts as solved; default: Gymnasium's threshold")
    solved_by: Literal["training", "evaluation"] = Field(
        "evaluation",
        description="training: mean of the last 100 episode returns; evaluation: mean of a greedy evaluation",
    )
    stop_when_solved: bool = Field(False, description="a seed stops training once it has solved the environment")
    hyper: dict[str, Any] = Field({}, description="the agent's hyper-parameters")

    @model_validator(mode="after")
    def _seeds_fit(self) -> Self:
        if self.seed + self.seeds > 2**63:
            raise ValueError(f"seed {self.seed} and {self.seeds - 1} more go beyond the largest seed, {2**63 - 1}")
        return self

    @classmethod
    def load(
        cls,
        source: str | Path | None = None,
        *,
        env: str | None = None,
        agent: str | None = None,
        imports: Sequence[str] = (),
        overrides: Iterable[str] | Mapping[Any, Any] = (),
    ) -> Self:
        """Find, read and validate a recipe. What it leaves out is as usual: see `rlbench.recipe.usual`.

        Args:
            source: name of a recipe that comes with rlbench, or a TOML file; None: the agent's recipe for ``env``, or
                else its default one.
            env: goes before the recipe's.
            agent: goes before the recipe's; the only way to name code that is not installed.
            imports: modules that register environments; those that a recipe lists have to be named here as well.
            overrides: "key=value" texts, or a mapping, of run keys and ``agent.key`` hyper-parameters.

        Raises:
            UsageError: no such recipe, or a key that is unknown or out of range; names the file and the key.
        """
        extra = read(overrides)
        set_agent, set_env = (_text(extra.pop((key,), None)) for key in ("agent", "env"))
        agent, env = agent or set_agent or None, env or set_env or None
        agent = agent and placed(agent)
        if env:
            env, imports = known_as(env, imports)
        where, content = _read(source, env, agent)
        named = content.get("agent", "dqn")
        check_types({**content, **{path[0]: value for path, value in extra.items() if len(path) == 1}}, where)
        typed, written = extra.pop(("wrappers",), None), content.get("wrappers", ())
        content["wrappers"], code = wrapped(written, typed, content.get("imports", ()), imports, where)
        if agent is None and runs_user_code(named):
            say = shlex.join(code_words(named, code.missing))
            raise UsageError(f"{where} names agent code to run. If you trust it, say so: {say}")
        if is_env_class(str(content.get("env", ""))):
            if env is None:
                say = shlex.join(["--env", shown_ref(content["env"])])
                raise UsageError(f"{where} names an environment's code to run. If you trust it, say so: {say}")
            content["env"] = parse(content["env"]).name
        if code.missing:
            say = shlex.join(code_words(None, code.missing))
            raise UsageError(f"{where} names code to import. If you trust it, say so: {say}")
        content["imports"] = code.given
        content["agent"] = agent or named
        if env:
            if content.get("env", env) != env:
                content.pop("solved_at", None)  # of another environment
            content["env"] = env
        if "env" not in content:
            raise UsageError(f"{where} names no environment. Add --env ID (`rlbench list envs`).")
        entry = find_agent(content["agent"])
        content = {**usual(content["env"], entry, cls), **content}
        hyper = _hyper_table(content, entry, named)
        tables = {entry.name: hyper, "env_kwargs": content.get("env_kwargs", {})}
        for path, value in extra.items():
            key, wanted = ".".join(path), _wanted(path, entry)
            if isinstance(value, Bare):
                value = value.meant(wanted)
            if path[0] in tables:
                put(tables, path, value)
            elif len(path) == 1:
                _check_known(key, entry)
                content[key] = value
            else:
                more = f" For the environment's constructor: env_kwargs.{path[1]}." if path[0] == "env" else ""
                raise UsageError(f"--set {key}: unknown table {path[0]!r}; the agent's is {entry.name!r}.{more}")
        hyper, content["env_kwargs"] = tables[entry.name], tables["env_kwargs"]
        if not isinstance(hyper, dict):
            raise UsageError(f"{entry.name} must be a table, not {value_text(hyper)}")
        said = [".".join(path[:2]) for path in extra]
        content["hyper"] = validate_hyper(entry, hyper, where, said).model_dump(mode="json")
        return cls._validated(content, where, said)

    @classmethod
    def from_content(cls, content: Mapping[str, Any], where: str) -> Self:
        """A recipe from the dict that `content` gave, as checkpoints keep it. Runs no code that it names."""
        known = {"envs_on": "host", **content}  # earlier versions had no others
        if "wrappers" not in known and known.get("agent") == "dqn":  # of a version in which it knew no masks
            known["hyper"] = {"mask_actions": False, **known.get("hyper", {})}
        return cls._validated(known, where)

    @classmethod
    def _validated(cls, content: dict[str, Any], where: str, said: Collection[str] = ()) -> Self:
        try:
            return cls(**content)
        except ValidationError as e:
            raise UsageError(first_problem(e, where, cls.model_fields, said=said)) from e

    def trusting(self, agent: str | None, imports: Sequence[str], where: str) -> Self:
        """This recipe, taken from a file, with the code that it names confirmed by whoever opens the file.

        Args:
            agent: where the agent's code is; needed if the recipe names a file or module.
            imports: modules to import; all that the recipe lists are needed.
            where: the file, for the message.

        Raises:
            UsageError: the recipe names code that was not confirmed.
        """
        if agent is None and HANDED in self.agent:
            name = table_name(self.agent)
            raise UsageError(
                f"{where} was made by a class {name} that a program handed over. Hand it over again: agent={name}; or "
                f"to a command, from a file: --agent FILE.py:{name}"
            )
        code = confirmed(with_code(self.imports, self.wrappers), imports)
        if agent is None and runs_user_code(self.agent):
            say = shlex.join(code_words(self.agent, code.missing))
            raise UsageError(f"{where} was made by agent code of your own. To run it, say so: {say}")
        if agent is not None and table_name(agent) != table_name(self.agent):
            raise UsageError(f"{where} was made by agent {shown_ref(self.agent)!r}, not {shown_ref(agent)!r}.")
        if code.missing:
            say = shlex.join(code_words(None, code.missing))
            raise UsageError(f"{where} needs a module imported for its environment. Say: {say}")
        wrappers = relocated(self.wrappers, code.given)
        return self.replace(agent=placed(agent) if agent else self.agent, imports=code.given, wrappers=wrappers)

    def placed(self) -> Self:
        """This recipe, with the files that it names as seen from the working folder, and its environment as a name."""
        env, named = known_as(self.env, self.imports) if ":" in self.env else (self.env, self.imports)
        imports = with_code([placed(text) for text in named], self.wrappers)
        return self.replace(env=env, imports=imports, agent=placed(self.agent))

    def content(self) -> dict[str, Any]:
        """Plain values, for checkpoints: `from_content` reads them."""
        return self.model_dump(mode="json", exclude_none=True)

    def to_toml(self, without: Collection[str] = ()) -> str:
        """The resolved recipe as TOML; `Recipe.load` reads it back to an equal one.

        Args:
            without: keys that are left out, such as "seeds" and "dqn.n_step".
        """
        content, name = self.content(), table_name(self.agent)
        hyper = {key: value for key, value in content.pop("hyper").items() if value is not None}  # TOML knows no None
        kwargs = content.pop("env_kwargs")
        tables = {"env_kwargs": kwargs} if kwargs else {}
        content = {key: value for key, value in content.items() if key not in without}
        hyper = {key: value for key, value in hyper.items() if f"{name}.{key}" not in without}
        return tomli_w.dumps({**content, **tables, name: hyper})

    def replace(self, **changes: Any) -> Self:
        """A copy with some keys changed, validated again."""
        return self._validated({**self.content(), **changes}, "the changed recipe")

    @property
    def seed_numbers(self) -> list[int]:
        return list(range(self.seed, self.seed + self.seeds))


def _text(value: Any) -> str:
    return value.text if isinstance(value, Bare) else str(value or "")


def _wanted(path: KeyPath, entry: AgentEntry) -> Any:
    """The annotation of a key; `Any` where nobody knows what it wants."""
    fields: Any = Recipe.model_fields if len(path) == 1 else {}
    if len(path) == 2 and path[0] == entry.name:
        fields = entry.cls.Config.model_fields
    return fields[path[-1]].annotation if path[-1] in fields else Any


def _check_known(key: str, entry: AgentEntry) -> None:
    """Say of a hyper-parameter without its table where it belongs."""
    if key in Recipe.model_fields or key == entry.name or difflib.get_close_matches(key, Recipe.model_fields, 1):
        return
    if close := difflib.get_close_matches(key, entry.cls.Config.model_fields, 1):
        raise UsageError(f"unknown key {key!r}. Did you mean {entry.name}.{close[0]}?")


def validate_hyper(entry: AgentEntry, hyper: Mapping[str, Any], where: str, said: Collection[str] = ()) -> AgentConfig:
    """The agent's validated config. Raises UsageError that names the file, unless it was ``said``, and the key."""
    try:
        return entry.cls.Config(**hyper)
    except ValidationError as e:
        raise UsageError(first_problem(e, where, entry.cls.Config.model_fields, f"{entry.name}.", said)) from e


def _hyper_table(content: dict[str, Any], entry: AgentEntry, named: str) -> dict[str, Any]:
    """Take the agents' tables out of ``content`` and return the chosen agent's.

    The tables of other known agents are dropped: a recipe may hold one for each. Any other stays, to be refused.
    """
    hyper: Any = content.pop(entry.name, {})
    if not isinstance(hyper, dict):
        raise UsageError(f"{entry.name} must be a table, [{entry.name}], not {value_text(hyper)}")
    for other in {table_name(named), *agent_names()} - {entry.name}:
        if isinstance(content.get(other), dict):
            del content[other]
    return dict(hyper)
