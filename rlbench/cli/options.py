"""Options that several commands share, and the types of what users name: no text is empty, paths hold for good."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from rlbench.process.places import absolute, stand

F = TypeVar("F", bound=Callable[..., Any])


class Word(click.ParamType):
    """A text that is not empty, as that of a variable is which a script forgot to set."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value:
            self.fail("an empty text was given", param, ctx)
        return str(value)


class WhichSeed(Word):
    """A seed's number, "best" or "all"."""

    name = "seed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        text = super().convert(value, param, ctx)
        if text in ("best", "all"):
            return text
        if not text.isdecimal():
            self.fail(f"{text!r} is neither a seed's number, nor best, nor all", param, ctx)
        return int(text)


class Reading(Word):
    """A path that is only read, by a command that runs no foreign code: it stays as it was typed."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        stand()  # what is typed is meant from here
        return value if isinstance(value, Path) else Path(super().convert(value, param, ctx))


class Place(Word):
    """A path, made absolute at once: an environment may change the working folder."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        stand()  # what is typed is meant from here
        return value if isinstance(value, Path) else absolute(super().convert(value, param, ctx))


def _code(what: str, help: str, *, several: bool = False) -> Callable[[F], F]:
    """An option that says where code of the user's own is: --agent or --env."""
    name, more = (f"{what}s", " May be repeated.") if several else (what, "")
    return click.option(
        f"--{what}",
        name,
        metavar="REF",
        type=Word(),
        multiple=several,
        help=f"Where {help}: file.py:Class or package.module:Class.{more}",
    )


agent_code = _code("agent", "the agent's code is, if it is your own")
agent_codes = _code("agent", "an agent's code is, if it is your own, for its Q-values", several=True)
env_code = _code("env", "the environment's code is, if it is a class of your own")
env_codes = _code("env", "an environment's code is, if it is a class of your own", several=True)
imports = click.option(
    "--import",
    "imports",
    metavar="MODULE",
    type=Word(),
    multiple=True,
    help="Import what registers the environment: a module, or file.py. May be repeated.",
)
_DEVICE = "auto (CUDA where it is quicker), cpu, cuda or cuda:N"


def _device(help: str) -> Callable[[F], F]:
    return click.option("--device", metavar="DEVICE", default=None, help=f"{help}.  [default: auto]")


device = _device(_DEVICE)
devices = _device(f"{_DEVICE}; several cards, as cuda:0,cuda:1, share the seeds")


def which_seed(help: str, default: str | None = "best") -> Callable[[F], F]:
    """The option --seed of commands that ask for a run's policy."""
    shown = default is not None
    return click.option(
        "--seed", metavar="best|K|all", type=WhichSeed(), default=default, show_default=shown, help=help
    )


def out(help: str, metavar: str = "FILE", **more: Any) -> Callable[[F], F]:
    """The option --out: what a command writes goes there. ``more`` is for click."""
    return click.option("--out", metavar=metavar, type=Place(), help=help, **more)


def with_env(imports: tuple[str, ...], env: str | None) -> tuple[str, ...]:
    """All the code that is named for an environment that the run itself names."""
    from rlbench.user_code.refs import is_env_class

    if env is None:
        return imports
    if not is_env_class(env):
        raise click.UsageError(f"--env {env}: the run says which environment it is of; --env names code, file.py:Class")
    return (*imports, env)


def given_settings(texts: Iterable[str]) -> dict[str, Any]:
    """What --with says: of a cell, or of an engine."""
    from rlbench.errors import UsageError
    from rlbench.recipe.overrides import Bare, read

    try:
        found = read(texts)
    except UsageError as e:
        said = str(e).replace("--set ", "--with ").replace("dqn.gamma=0.98", "cpus=2")
        raise UsageError(said) from e
    return {".".join(path): value.text if isinstance(value, Bare) else value for path, value in found.items()}


def tell(notes: Iterable[str]) -> None:
    """Say what the user should know, apart from what was asked for."""
    for note in notes:
        click.echo(f"note: {note}", err=True)


def write(path: Path, content: str) -> None:
    """Write a text file in one piece; its folder is made if need be."""
    from rlbench.files import exporting

    with exporting(path, "--out FILE") as temporary:
        temporary.write_text(content + "\n", encoding="utf-8")
