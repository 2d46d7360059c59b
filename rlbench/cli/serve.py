"""`rlbench serve`: a trained policy answers over HTTP."""

import tempfile
from pathlib import Path
from typing import Any

import click

from . import options

PLAYED = 10  # episodes that prove a run's export; `rlbench export` plays more
TOKEN = "RLBENCH_RELOAD_TOKEN"


@click.command()
@click.argument("path", metavar="FILE|RUN", type=options.Place())
@click.option(
    "--host",
    metavar="HOST",
    type=options.Word(),
    default="127.0.0.1",
    show_default=True,
    help="Where to listen; 0.0.0.0 is every network of this machine.",
)
@click.option(
    "--port", metavar="N", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 is any that is free."
)
@click.option(
    "--workers", metavar="N", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes that answer."
)
@click.option(
    "--max-batch",
    metavar="N",
    type=click.IntRange(0, 65536),
    default=64,
    show_default=True,
    help="Observations computed together; 0 or 1: each request alone.",
)
@click.option(
    "--batch-wait",
    metavar="MS",
    type=click.FloatRange(0, 1000),
    default=2.0,
    show_default=True,
    help="Milliseconds that a request waits at most for others, and only while they keep coming; 0: each alone.",
)
@click.option(
    "--max-queue",
    metavar="N",
    type=click.IntRange(1),
    default=1024,
    show_default=True,
    help="Predictions under way at a worker; beyond them it answers 503.",
)
@click.option(
    "--max-body",
    metavar="MIB",
    type=click.FloatRange(0.001, 1024),
    default=4.0,
    show_default=True,
    help="MiB of a request.",
)
@click.option(
    "--max-observations", metavar="N", type=click.IntRange(1), default=1024, show_default=True, help="Of one request."
)
@click.option(
    "--body-timeout",
    metavar="S",
    type=click.FloatRange(0.1, 1000),
    default=10.0,
    show_default=True,
    help="Seconds within which a request has to arrive.",
)
@click.option(
    "--max-sessions",
    metavar="N",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="Of a recurrent policy; the least recently used makes room.",
)
@click.option(
    "--session-ttl",
    metavar="S",
    type=click.FloatRange(0.1),
    default=600.0,
    show_default=True,
    help="Seconds after which an unused session is forgotten.",
)
@click.option(
    "--threads",
    metavar="N",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Threads that a worker computes by.",
)
@click.option(
    "--reload-token-file",
    metavar="FILE",
    type=options.Place(),
    help=f"What POST /reload has to show stands in this file, or in the variable {TOKEN}.",
)
@options.which_seed("Of a run, as for `rlbench export`: whose policy.")
@options.agent_code
@options.env_code
@options.imports
@click.pass_context
def serve(
    ctx: click.Context,
    /,
    path: Path,
    host: str,
    port: int,
    workers: int,
    max_batch: int,
    batch_wait: float,
    max_body: float,
    reload_token_file: Path | None,
    seed: Any,
    agent: str | None,
    env: str | None,
    imports: tuple[str, ...],
    **limits: Any,
) -> None:
    """Answer observations with a policy's actions over HTTP.

    FILE.onnx is what `rlbench export` wrote, and needs neither PyTorch nor Gymnasium to be served. A RUN is exported
    first; --seed, --agent, --env and --import are for that.

    POST /predict asks, GET /spec says what for, /docs shows it, /healthz and /metrics are for who runs it. Ctrl-C or
    SIGTERM ends it, with what is under way answered.

    \b
    rlbench serve policy.onnx --port 8000
    curl -H 'Content-Type: application/json' -d '{"obs": [0, 0, 0, 0]}' http://127.0.0.1:8000/predict
    """
    import signal

    from rlbench.errors import UsageError
    from rlbench.files import unwritable
    from rlbench.policyfile.packages import package
    from rlbench.process.places import shown
    from rlbench.service.policy import opened, read
    from rlbench.service.settings import ENDS, Settings
    from rlbench.user_code.commands import command

    for name in ("fastapi", "uvicorn", "httptools", "orjson", "onnxruntime"):
        package(name, "serve")
    from rlbench.service.answering import begin_state
    from rlbench.service.server import serve as answer
    from rlbench.service.sockets import listen, url
    from rlbench.service.workers import ServiceWorkers

    token, name = _token(reload_token_file), shown(path)
    with tempfile.TemporaryDirectory(prefix="rlbench-serve-") as folder:
        state = Path(folder)
        if path.is_dir():
            content = read(_exported(path, state, seed, agent, options.with_env(imports, env)), name)
        else:
            if seed != "best" or agent or env or imports:
                raise click.UsageError("--seed, --agent, --env and --import are for a run: a file holds all it needs")
            if path.suffix == ".pth":
                export = command("export", path, "--to", "onnx", "--out", "policy.onnx")
                raise UsageError(f"{name} is a checkpoint, and only .onnx is served. Export it: {export}")
            content = read(path, name)
        policy = opened(content, name)
        said, digest = policy.metadata, policy.digest
        del policy  # each worker opens its own
        settings = Settings(
            name=name, source=None if path.is_dir() else path, state=state, workers=workers, max_batch=max_batch,
            batch_wait=batch_wait / 1000, max_body=int(max_body * 2**20), token=token, **limits,
        )  # fmt: skip
        try:
            begin_state(state, workers, content)
        except OSError as e:
            raise unwritable(state, e, "It lies where the variable TMPDIR says") from e
        sockets = listen(host, port, workers)
        if said.recurrent and workers > 1:
            options.tell(["several workers keep no sessions: clients hand back the memory of each answer"])

        def ready() -> None:
            voters = f"seeds {', '.join(map(str, said.seeds))}" if len(said.seeds) > 1 else f"seed {said.seeds[0]}"
            click.echo(f"{name}: {said.agent} on {said.env}, {voters}, sha256 {digest[:12]}")
            by = "" if workers == 1 else f", {workers} workers"
            click.echo(f"Serving at {url(sockets[0])}{by}: POST /predict, GET /spec, /docs. Ctrl-C ends it.")

        if workers == 1:
            number = answer(settings, sockets[0], signals=ENDS, ready=ready)
        else:
            number = ServiceWorkers(settings, sockets, lambda line: click.echo(line, err=True)).run(ready)
    if number != signal.SIGTERM:  # that is how a service is meant to end
        ctx.exit(128 + number)


def _token(file: Path | None) -> bytes | None:
    """What a reload has to show: of the file, or else of the environment. Raises UsageError where it is empty."""
    import os

    from rlbench.errors import UsageError
    from rlbench.process.places import shown

    if file is not None:
        try:
            found, where = file.read_text("utf-8"), shown(file)
        except (OSError, UnicodeDecodeError) as e:
            reason = getattr(e, "strerror", None) or "it is no text"
            raise UsageError(f"--reload-token-file {shown(file)} cannot be read: {reason}") from e
    elif TOKEN in os.environ:
        found, where = os.environ[TOKEN], TOKEN
    else:
        return None
    token = found.strip()
    if not token or not token.isascii() or len(token.split()) != 1:
        raise UsageError(
            f"{where} is empty or no token: one word of ASCII letters, such as `openssl rand -hex 32` gives"
        )
    return token.encode()


def _exported(run: Path, folder: Path, seed: Any, agent: str | None, imports: tuple[str, ...]) -> Path:
    """A run's policy as a file in ``folder``."""
    from rlbench.ship.export import export
    from rlbench.trained.load import load

    trained = load(run, seed=seed, agent=agent, imports=imports, device="cpu")
    options.tell([*trained.notes, f"the run is exported first, and proved by {PLAYED} episodes"])
    done = export(trained, "onnx", folder / "policy.onnx", episodes=PLAYED)
    options.tell(done.notes)
    return done.path
