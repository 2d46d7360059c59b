"""``drills odd``: environments of every kind, crossed with every command; counts what goes wrong."""

import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click

KINDS = ("traceback", "silent", "lost", "hung", "left", "code", "lines", "culprit", "types", "noise")


@click.command()
@click.option("--cases", "count", default=400, show_default=True, help="How many environments.")
@click.option("--seed", default=0, show_default=True, help="Of their order, and of the values that go wrong.")
@click.option("--only", metavar="NAME", help="Only cases whose name contains this.")
@click.option(
    "--plan", metavar="PLAN", help="train, workers, ctrl-c, kill, later, or all.  [default: one for each case]"
)
@click.option("--jobs", default=2, show_default=True, help="Cases at a time.")
@click.option("--show", is_flag=True, help="Print every command with what it said.")
@click.option("--keep", metavar="DIR", type=click.Path(path_type=Path), help="Work in this folder and leave it.")
def odd(count: int, seed: int, only: str | None, plan: str | None, jobs: int, show: bool, keep: Path | None) -> None:
    """Train, stop, resume, verify, evaluate, play and report environments that are odd, or go wrong.

    Every environment writes down what it was given and what it gave; the record must say the same. Whatever is refused
    or fails must say so in one line that names the culprit, with a fitting exit code, and lose nothing.
    """
    from .cases import find, table
    from .commands import warm_up

    cases = find(only, seed) if only else table(count, seed)
    warm_up()
    began = time.perf_counter()
    scratch = keep or Path(tempfile.mkdtemp(prefix="odd-"))
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        pids = [_start(cases, seed, plan, job, jobs, scratch, show) for job in range(jobs)]
        crashed = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        results = [json.loads(line) for job in range(jobs) for line in (scratch / f"results-{job}").open()]
    finally:
        if keep is None:
            shutil.rmtree(scratch, ignore_errors=True)
    wrong = [finding for result in results for finding in result["findings"]]
    _print(results, wrong)
    commands = sum(result["commands"] for result in results)
    totals = Counter(finding["kind"] for finding in wrong)
    click.echo(
        f"{len(results)} environments, {commands:,} commands in {time.perf_counter() - began:,.0f} s: "
        + ", ".join(f"{totals[kind]} {kind}" for kind in KINDS)
    )
    sys.exit(bool(wrong or any(crashed) or len(results) < len(cases)))


def _start(cases: list[Any], seed: int, plan: str | None, job: int, jobs: int, scratch: Path, show: bool) -> int:
    """Every JOBS-th case in a process of its own; its number."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        from .plans import run_case

        with (scratch / f"results-{job}").open("w", buffering=1) as file:
            for k in range(job, len(cases), jobs):
                result = run_case(cases[k], seed, plan, scratch / f"case{k}", show)
                file.write(json.dumps(result) + "\n")
                if not show:
                    shutil.rmtree(scratch / f"case{k}", ignore_errors=True)
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _print(results: list[dict[str, Any]], wrong: list[dict[str, Any]]) -> None:
    """Totals by group, then every finding; ``--only CASE --plan PLAN --show`` shows how it came to be."""
    click.echo(f"{'':34}{'cases':>6}" + "".join(f"{kind:>10}" for kind in KINDS))
    for group in sorted({result["group"] for result in results}):
        of_group = [result for result in results if result["group"] == group]
        counts = Counter(finding["kind"] for result in of_group for finding in result["findings"])
        click.echo(f"{group:34}{len(of_group):>6}" + "".join(f"{counts[kind] or '':>10}" for kind in KINDS))
    for finding in sorted(wrong, key=lambda f: (KINDS.index(f["kind"]), f["case"])):
        click.echo(
            f"{finding['kind']:10} {finding['case']} ({finding['plan']}), {finding['command']}: {finding['what']}"
        )
