"""What `rlbench latency` found, as tables, JSON and the lines of a picture."""

import textwrap
from typing import Any, NamedTuple

from ..plots.latencies import LatencyCurve
from ..units import byte_size, duration, latency
from .latency import CallTimes, Measured

_WIDTH = 80  # of the tables
_NARROW = 17  # letters of a name


class LatencyReport(NamedTuple):
    """All of it. ``what`` says of what, ``asked`` with which observations; ``notes`` are for the user."""

    what: str
    asked: str
    threads: int
    rounds: int
    measured: tuple[Measured, ...]
    machine: str
    notes: tuple[str, ...] = ()

    @property
    def caption(self) -> str:
        """How it was measured."""
        threads = "one thread" if self.threads == 1 else f"{self.threads} threads"
        return (
            f"{threads}, {self.rounds} rounds, all in turn, each in a process of its own; {self.asked}; {self.machine}"
        )


def lines(report: LatencyReport) -> list[str]:
    """Two tables of 80 columns or less: times, and what each took besides."""
    several = len(report.measured) > 1
    wide = max(min(max(len(one.label) for one in report.measured), _NARROW), 9)
    head = f"{'':{wide}} {'batch':>6}{'p50':>9}{'p95':>9}{'p99':>9}{'obs/s':>12}{'calls':>9}"
    found = [report.what, *textwrap.wrap(report.caption, _WIDTH), "", head + ("   ratio" if several else "")]
    for one in report.measured:
        for i, times in enumerate(one.times):
            name = _short(one.label, wide) if i == 0 else ""
            found.append(f"{name:{wide}} {_row(times)}" + (f"{times.of_first:>8.2f}" if several else ""))
    found += ["", f"{'':{wide}} {'file':>10}{'memory':>11}{'loaded in':>11}"]
    for one in report.measured:
        memory = "-" if one.memory is None else byte_size(one.memory)
        loaded = duration(one.loaded, tenths=True)
        found.append(f"{_short(one.label, wide):{wide}} {byte_size(one.size):>10}{memory:>11}{loaded:>11}")
    most = max(one.overhead for one in report.measured)
    found += ["", f"the loop itself takes {latency(most)} of each call, which is not taken off"]
    if several:
        found.append(f"ratio: p50 over that of {report.measured[0].label}, the median of the rounds")
    return found


def document(report: LatencyReport) -> dict[str, Any]:
    """As JSON has it; times are in seconds, sizes in bytes."""
    return {
        "what": report.what,
        "observations": report.asked,
        "threads": report.threads,
        "rounds": report.rounds,
        "machine": report.machine,
        "notes": list(report.notes),
        "policies": {
            one.label: {
                "file_bytes": one.size,
                "memory_bytes": one.memory,
                "load_seconds": one.loaded,
                "loop_overhead_seconds": one.overhead,
                "batches": {
                    str(t.batch): {
                        "calls": t.calls,
                        "p50": t.p50,
                        "p95": t.p95,
                        "p99": t.p99,
                        "observations_per_second": t.per_second,
                        "p50_of_first": t.of_first,
                        "p50_of_rounds": list(t.rounds),
                    }
                    for t in one.times
                },
            }
            for one in report.measured
        },
    }


def curves(report: LatencyReport) -> list[LatencyCurve]:
    """The lines of a picture."""
    return [
        LatencyCurve(
            one.label,
            tuple(t.batch for t in one.times),
            tuple(t.p50 for t in one.times),
            tuple(t.p95 for t in one.times),
            tuple(t.p99 for t in one.times),
        )
        for one in report.measured
    ]


def _row(t: CallTimes) -> str:
    times = "".join(f"{latency(p):>9}" for p in (t.p50, t.p95, t.p99))
    return f"{t.batch:>6}{times}{t.per_second:>12,.0f}{t.calls:>9,}"


def _short(label: str, wide: int) -> str:
    return label if len(label) <= wide else f"{label[: wide - 1]}…"
