"""`rlbench export`: a trained policy into a file that needs neither rlbench nor PyTorch."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from . import options

KINDS = {
    ".onnx": "onnx",
    ".ts": "torchscript",
    ".pt": "torchscript",
    ".pt2": "pt2",
    ".html": "html",
}  # by what a name ends with


@click.command("export")
@click.argument("path", type=options.Place())
@options.which_seed("Whose policy: of the seed with the best evaluation, of seed K, or all as one that votes.")
@click.option(
    "--to",
    "kind",
    type=click.Choice(sorted(set(KINDS.values()))),
    help="The format.  [default: what the name of --out ends with]",
)
@options.out("Write the policy to this file.", required=True)
@click.option(
    "--episodes", metavar="N", type=click.IntRange(min=1), default=100, show_default=True, help="Played for the proof."
)
@click.option(
    "--quantize",
    type=click.Choice(["int8"]),
    help="Give an ONNX file weights of 8 bits; refused where that costs return, or too few --episodes can tell.",
)
@click.option("--force", is_flag=True, help="Keep a quantised file whatever it costs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@options.agent_code
@options.env_code
@options.imports
def export(
    path: Path,
    seed: Any,
    kind: str | None,
    out: Path,
    episodes: int,
    quantize: str | None,
    force: bool,
    as_json: bool,
    agent: str | None,
    env: str | None,
    imports: tuple[str, ...],
) -> None:
    """Write the policy of a run, or of a checkpoint, into a file that other programs can use.

    The file takes observations as the environment gives them, in batches of any size, and gives actions as the
    environment takes them. It is kept once it has answered and played as the live agent does.

    \b
    rlbench export runs/cartpole --out cartpole.onnx
    """
    kind = _kind(kind, out)
    if quantize and kind != "onnx":
        raise click.UsageError(f"--quantize {quantize} is for ONNX, and not for {kind}: --to onnx")
    if force and not quantize:
        raise click.UsageError("--force is for --quantize: a file that is not the same policy is never kept")
    if path.suffix in KINDS and path.is_file():
        raise click.UsageError(f"{path} is exported already; a run or a checkpoint is what this takes")
    with _stopping(out):
        notes, content, lines = _exported(
            path, seed, kind, out, episodes, quantize, force, agent, options.with_env(imports, env)
        )
    options.tell(notes)
    if as_json:
        import json

        click.echo(json.dumps(content, indent=2))
    else:
        click.echo("\n".join(lines))


def _exported(
    path: Path,
    seed: Any,
    kind: str,
    out: Path,
    episodes: int,
    quantize: str | None,
    force: bool,
    agent: str | None,
    imports: tuple[str, ...],
) -> tuple[tuple[str, ...], dict[str, Any], list[str]]:
    """Notes on what was written, its content as JSON, and lines for a terminal."""
    from rlbench.ship.export import export as exported
    from rlbench.ship.saying import Saying
    from rlbench.ship.text import content, lines
    from rlbench.trained.load import load

    trained = load(path, seed=seed, agent=agent, imports=imports, device="cpu")
    options.tell(trained.notes)
    if path.is_dir() and trained.path.name == "checkpoint.pth":
        options.tell(
            ["there is no best.pth in this run: its last checkpoint is exported, and not the best in training"]
        )
    if quantize:
        from rlbench.quantized.export_quantized import export_quantized
        from rlbench.quantized.quantized_text import quantized_content, quantized_lines

        with Saying() as say:
            made = export_quantized(trained, out, episodes=episodes, force=force, say=say)
        return made.exported.notes, quantized_content(made), list(quantized_lines(made))
    with Saying() as say:
        if kind == "html":
            from rlbench.ship.html import export_page

            done = export_page(trained, out, episodes=episodes, say=say)
        else:
            done = exported(trained, kind, out, episodes=episodes, say=say)
    return done.notes, content(done), list(lines(done))


@contextlib.contextmanager
def _stopping(out: Path) -> Iterator[None]:
    """Context in which Ctrl-C says what has become of the file."""
    try:
        yield
    except KeyboardInterrupt:
        as_it_was = f", and {out} is as it was" if out.exists() else ""
        click.echo(f"stopped at once; nothing was written{as_it_was}", err=True)
        raise click.exceptions.Exit(130) from None


def _kind(kind: str | None, out: Path) -> str:
    """The format that was asked for, by option or by name."""
    named = KINDS.get(out.suffix.lower())
    if kind is None and named is None:
        raise click.UsageError(f"--out {out.name}: say the format, as --to onnx, or by a name that ends with .onnx")
    if kind is not None and named is not None and kind != named:
        raise click.UsageError(f"--to {kind}, and --out {out.name} ends as {named} does: give one of the two")
    return kind or named or ""
