"""`rlbench latency`: how long a policy takes to answer, live and as exported files, by batch size."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..units import LATENCIES
from . import options

if TYPE_CHECKING:
    from ..timing.latency_report import LatencyReport

PICTURES = (".png", ".svg", ".pdf")


class BatchSizes(options.Word):
    """Whole numbers with commas between them."""

    name = "sizes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        words = super().convert(value, param, ctx).split(",")
        if not all(re.fullmatch(r"[1-9]\d{0,5}", word.strip(), re.ASCII) for word in words):
            self.fail(f"{value!r}: give whole numbers from 1 on, as 1,8,32", param, ctx)
        return tuple(sorted({int(word) for word in words}))


class ShortTime(options.Word):
    """A time with its unit, in seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*(us|ms|s)", super().convert(value, param, ctx), re.ASCII)
        if not found or not float(found[1]):
            self.fail(f"{value!r}: give a time with its unit, as 500us, 2ms or 1s", param, ctx)
        return float(found[1]) * LATENCIES[found[2]]


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILE...|RUN", type=options.Place())
@click.option(
    "--batch-sizes", metavar="N,N,...", type=BatchSizes(), default="1,8,32,128", show_default=True, help="To time."
)
@click.option("--threads", metavar="N", type=click.IntRange(1, 1024), default=1, show_default=True, help="Of each.")
@click.option(
    "--seconds",
    type=click.FloatRange(0.01, 600),
    default=1.0,
    show_default=True,
    help="Of measuring, for each policy and batch size.",
)
@options.which_seed("Of a run: whose policy.  [default: best]", default=None)
@click.option(
    "--max-p99", metavar="TIME", type=ShortTime(), help="Fail where the 99th percentile is longer: 500us, 2ms, 1s."
)
@click.option(
    "--gate",
    metavar="NAME",
    type=options.Word(),
    help="What --max-p99 is about, a name of the table.  [default: of a run onnx; of files each of them]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@options.out("Write this file: .json, or a picture, .png, .svg or .pdf.")
@options.agent_code
@options.env_code
@options.imports
def latency(
    paths: tuple[Path, ...],
    batch_sizes: tuple[int, ...],
    threads: int,
    seconds: float,
    seed: Any,
    max_p99: float | None,
    gate: str | None,
    as_json: bool,
    out: Path | None,
    agent: str | None,
    env: str | None,
    imports: tuple[str, ...],
) -> None:
    """Time exported policies, or a run's live agent beside its policy as ONNX, int8, TorchScript and pt2.

    A call is timed from the observations to the action as the environment takes it: one observation by the live agent's
    act and a file's act, several in one array. Of a run, files are written for the measurement alone, and are not
    proved as those of `rlbench export` are.

    The table has percentiles of a call's time, and observations per second; then the size of each file, and the memory
    that loading and answering take beyond a bare process.

    \b
    rlbench latency policy.onnx --batch-sizes 1 --max-p99 2ms
    """
    import json

    if out is not None and out.suffix.lower() not in (".json", *PICTURES):
        raise click.UsageError(f"--out {out.name}: the name must end in .json, .png, .svg or .pdf")
    if gate is not None and max_p99 is None:
        raise click.UsageError("--gate names what --max-p99 is about: give that too")
    if out is not None:
        from rlbench.files import check_writable

        check_writable(out, "--out FILE")
    report, gated = _measured(paths, batch_sizes, threads, seconds, seed, agent, options.with_env(imports, env), gate)
    options.tell(report.notes)
    from rlbench.timing.latency_report import document, lines

    text = json.dumps(document(report), indent=2)
    if out is not None:
        _write(report, out, text)
    click.echo(text if as_json else "\n".join(lines(report)))
    if max_p99 is not None:
        from rlbench.errors import RlbenchError
        from rlbench.timing.latency import gate as slowest
        from rlbench.units import latency as shown

        if slow := slowest(report.measured, max_p99, gated):
            raise RlbenchError(
                f"{slow.label} took {shown(slow.times.p99)} at the 99th percentile for a batch of {slow.times.batch}, "
                f"more than --max-p99 {shown(max_p99)}."
            )


def _measured(
    paths: tuple[Path, ...],
    batch_sizes: tuple[int, ...],
    threads: int,
    seconds: float,
    seed: Any,
    agent: str | None,
    imports: tuple[str, ...],
    gate: str | None,
) -> tuple["LatencyReport", list[str]]:
    """What was found, and the names of those that a gate is about."""
    import tempfile

    from rlbench.ship.saying import Saying
    from rlbench.timing import lineup
    from rlbench.timing.latency import FEW, ROUNDS, measure
    from rlbench.timing.latency_report import LatencyReport
    from rlbench.units import duration

    with tempfile.TemporaryDirectory() as folder, Saying() as say:
        if lineup.are_files(paths):
            if seed is not None or agent or imports:
                raise click.UsageError("--seed, --agent, --env and --import are for a run; these are exported files")
            made = lineup.of_files(paths)
        else:
            if len(paths) > 1:
                raise click.UsageError("one run at a time; several paths are exported files, .onnx, .ts or .pt2")
            from rlbench.timing.lineup_run import of_run

            made = of_run(paths[0], Path(folder), "best" if seed is None else seed, agent, imports, say)
        labels = [entrant.label for entrant in made.entrants]
        if gate is not None and gate not in labels:
            raise click.UsageError(f"--gate {gate}: there is {', '.join(labels)}")
        measured = measure(made.entrants, made.asking, batch_sizes, threads=threads, seconds=seconds, look=say)
    notes = list(made.notes)
    few = [f"{one.label} at batch size {t.batch}" for one in measured for t in one.times if t.calls < FEW]
    if few:
        more = f" and {len(few) - 1} more" if len(few) > 1 else ""
        longer = duration(10 * seconds, tenths=True)
        notes.append(f"{few[0]}{more} rests on less than {FEW:,} calls: p99 is rough. Longer: --seconds {longer[:-1]}")
    report = LatencyReport(
        made.what, made.asking.source, threads, ROUNDS, tuple(measured), lineup.machine(), tuple(notes)
    )
    return report, [gate] if gate else made.gated


def _write(report: "LatencyReport", out: Path, text: str) -> None:
    if out.suffix.lower() == ".json":
        options.write(out, text)
        return
    from rlbench.plots.latencies import draw_latencies
    from rlbench.plots.learning import save
    from rlbench.timing.latency_report import curves

    save(draw_latencies(curves(report), report.caption, title=report.what), out, "--out FILE")
