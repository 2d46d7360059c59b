"""An `Inspection` as tables for a terminal: of several seeds the median, and the worst where that matters."""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..numbers import number
from .buffer import BufferStats
from .findings import Finding, gathered, percent
from .look import SeedLook
from .values import Spread, ValueStats
from .whole import Inspection

MOST = 12  # findings that are told
GAP = 2  # between columns
ACTIONS = 12  # actions whose shares are
NOT_ASKED = "not asked when it acts"
SPREAD = ("mean", "std", "min", "max")
FAILURES = ("dead", "saturated", "dormant")


def shown(found: Inspection, width: int = 80) -> RenderableType:
    """All of it, none of its lines longer than ``width``."""
    parts: list[RenderableType] = [*said(found)]
    seeds = found.seeds
    many = len(seeds) > 1
    of = f"median of {len(seeds)} seeds, (worst seed)" if many else f"seed {seeds[0].seed}"
    for title, rows in tables(seeds):
        if len(rows) > 1:
            head = Text(f"{title}, {of}" if title != "Networks" else title, style="bold")
            parts += [Text(), head, *_tables(rows, width)]
    return Group(*parts)


def said(found: Inspection) -> list[Text]:
    """What stands out, in sentences; of several seeds who has it."""
    groups: dict[tuple[str, str], list[tuple[int, Finding]]] = {}
    for seed, own in found.findings.items():
        for finding in own:
            groups.setdefault((finding.kind, finding.where), []).append((seed, finding))
    lines = [gathered(group, len(found.seeds)) for group in groups.values()]
    if not lines:
        return [Text("Nothing stands out.", style="green")]
    more = [Text(f"... and {len(lines) - MOST} more: --json has all")] if len(lines) > MOST else []
    return [*(Text(f"! {line}", style="yellow") for line in lines[:MOST]), *more]


def tables(seeds: Sequence[SeedLook]) -> Iterator[tuple[str, list[list[str]]]]:
    """Titles, each with a header and rows."""
    networks = [[one.name, f"{one.parameters:,}", "" if one.asked else NOT_ASKED] for one in seeds[0].networks]
    yield "Networks", [["network", "parameters", ""], *networks]
    yield "Layers", _layers(seeds)
    yield "Features of the last hidden layer", _features(seeds)
    yield "Values and returns", _values([(s.seed, s.values) for s in seeds if s.values])
    yield "Policy", _policy(seeds)
    yield "Gradient", _gradients(seeds)
    yield "Replay buffer", _buffer([s.buffer for s in seeds if s.buffer])
    yield "Tables", _tensors(seeds)


def _layers(seeds: Sequence[SeedLook]) -> list[list[str]]:
    rows = [["layer", "kind", "units", *SPREAD, *FAILURES]]
    for i, one in enumerate(seeds[0].layers):
        own = [(s.seed, s.layers[i]) for s in seeds if len(s.layers) > i and s.layers[i].title == one.title]
        shares = [_worst([(seed, getattr(layer, name)) for seed, layer in own], percent) for name in FAILURES]
        spreads = _four([Spread(layer.mean, layer.std, layer.low, layer.high) for _, layer in own])
        name = f"{one.network}, {f'layer {one.place}' if one.place else 'output'}"
        rows.append([name, one.kind, f"{one.units}", *spreads, *shares])
    return rows


def _features(seeds: Sequence[SeedLook]) -> list[list[str]]:
    rows = [["network", "effective rank", "of"]]
    for i, one in enumerate(seeds[0].ranks):
        known = [(s.seed, s.ranks[i].effective) for s in seeds if len(s.ranks) > i]
        rows.append([one.network, _worst(known, number, min), f"{one.most}"])
    return rows


def _values(known: Sequence[tuple[int, ValueStats]]) -> list[list[str]]:
    rows = [["", *SPREAD]]
    if not known:
        return rows
    first, looks = known[0][1], [stats for _, stats in known]
    gamma = "" if first.gamma is None else f", gamma {number(first.gamma)}"
    rows.append([first.what, *_four([v.estimate for v in looks])])
    if all(v.q_values for v in looks):
        rows.append(["Q-values of all actions", *_four([v.q_values for v in looks])])
    if any(v.came for v in looks):
        rows.append([f"returns that came{gamma}", *_four([v.came for v in looks])])
        rows.append(["value - return", _worst([(seed, v.bias) for seed, v in known], by=abs), "", "", ""])
    if gaps := [(seed, v.gap.expected - v.gap.came) for seed, v in known if v.gap]:
        rows.append(["value - return, as it plays", _worst(gaps), "", "", ""])
    if bounds := [v.possible for v in looks if v.possible]:
        low, high = (number(statistics.median(pair[i] for pair in bounds)) for i in (0, 1))
        rows.append(["returns that are possible", "", "", low, high])
    return rows


def _policy(seeds: Sequence[SeedLook]) -> list[list[str]]:
    rows = [["", ""]]
    if all(s.policy.greedy for s in seeds):
        rows.append(["greedy actions", _balance([s.policy.greedy for s in seeds])])
    if all(s.policy.entropy is not None for s in seeds):
        entropies, sure = ([(s.seed, getattr(s.policy, name)) for s in seeds] for name in ("entropy", "sure"))
        rows.append(["entropy, of the most there can be", _worst(entropies, percent, min)])
        rows.append(["states where one action is certain", _worst(sure, percent)])
    if all(s.policy.std for s in seeds):
        rows.append(["std of actions, mean", _worst([(s.seed, s.policy.std and s.policy.std.mean) for s in seeds])])
    return rows


def _gradients(seeds: Sequence[SeedLook]) -> list[list[str]]:
    known = [(s.seed, s.gradients) for s in seeds if s.gradients]
    rows = [["", "norm"]]
    if any(g.norm is not None for _, g in known):
        rows.append([f"as the agent says ({known[0][1].source})", _worst([(seed, g.norm) for seed, g in known])])
    for name in known[0][1].networks if known else ():
        rows.append([f"{name}, as its optimiser took it", _worst([(seed, g.networks.get(name)) for seed, g in known])])
    return rows


def _buffer(looks: Sequence[BufferStats]) -> list[list[str]]:
    rows = [["", ""]]
    if not looks:
        return rows
    first = looks[0]

    def middle(name: str) -> str:
        return percent(statistics.median(getattr(one, name) for one in looks))

    rows += [
        ["transitions", f"{first.held:,} of {first.capacity:,}, the oldest {first.age:,} env steps old"],
        ["distinct observations", middle("distinct_obs")],
        ["distinct transitions", middle("distinct")],
        ["rewards", _named(_four([one.rewards for one in looks]))],
        ["rewards that are 0", middle("zero")],
        ["episode terminated", middle("terminated")],
        ["episode cut by a time limit", middle("truncated")],
    ]
    if first.actions:
        rows.append(["actions", _balance([one.actions for one in looks])])
    else:
        rows.append(["actions", _named(_four([one.numbers for one in looks]))])
    return rows


def _tensors(seeds: Sequence[SeedLook]) -> list[list[str]]:
    rows = [["table", "shape", *SPREAD, "never touched"]]
    for i, one in enumerate(seeds[0].tables):
        own = [(s.seed, s.tables[i]) for s in seeds if len(s.tables) > i]
        untouched = _worst([(seed, table.untouched) for seed, table in own], percent)
        rows.append([one.name, " x ".join(map(str, one.shape)), *_four([t.numbers for _, t in own]), untouched])
    return rows


def _balance(shares: Sequence[Sequence[float]]) -> str:
    """Medians of the shares of actions; of many the most frequent ones."""
    medians = [statistics.median(column) for column in zip(*shares, strict=True)]
    order = sorted(range(len(medians)), key=lambda a: -medians[a])[:ACTIONS]
    text = "  ".join(f"{a}: {percent(medians[a])}" for a in sorted(order))
    return text + f"  ({len(medians) - ACTIONS} more)" * (len(medians) > ACTIONS)


def _named(spread: Sequence[str]) -> str:
    return ", ".join(f"{name} {x}" for name, x in zip(SPREAD, spread, strict=True))


def _four(looks: Sequence[Spread | None]) -> list[str]:
    """Medians of mean, std, min and max."""
    known = [one for one in looks if one is not None]
    return [number(_three(statistics.median(one[k] for one in known))) for k in range(4)] if known else ["-"] * 4


def _worst(
    given: Sequence[tuple[int, float | None]],
    write: Callable[[float], str] = number,
    worst: Callable[..., Any] = max,
    by: Callable[[float], float] = lambda x: x,
) -> str:
    """The median, and the worst with its seed where that is another."""
    known = [(seed, x) for seed, x in given if x is not None]
    if not known:
        return ""
    seed, most = worst(known, key=lambda pair: by(pair[1]))
    text, other = write(_three(statistics.median(x for _, x in known))), write(_three(most))
    return text if len(known) == 1 or other == text else f"{text} ({other}, seed {seed})"


def _three(x: float) -> float:
    """To three digits."""
    return float(f"{x:.3g}") if math.isfinite(x) else x


def _tables(rows: Sequence[Sequence[str]], width: int) -> list[RenderableType]:
    """One table, or where it is too wide several, one below the other: each begins with the first column."""
    head, *body = rows
    used = [i for i in range(1, len(head)) if any(row[i] for row in body)]
    wide = {i: GAP + max(cell_len(row[i]) for row in rows) for i in (0, *used)}
    if sum(wide.values()) - GAP <= width:
        return [_table(rows, (0, *used))]
    wide[0] = min(wide[0], width // 2)  # a user's names may be long
    out, block = list[RenderableType](), list[int]()
    for i in used:
        full = GAP + width - wide[0] - sum(wide[k] for k in block) < wide[i]
        failures = head[i] in FAILURES and block and head[block[-1]] not in FAILURES  # these stand together
        if block and (full or failures):
            out += [_table(rows, (0, *block), wide[0] - GAP), Text()]
            block = []
        block.append(i)
    return [*out, _table(rows, (0, *block), wide[0] - GAP)]


def _table(rows: Sequence[Sequence[str]], used: Sequence[int], most: int | None = None) -> Table:
    """Columns of words at the left, of numbers at the right. Words go on in the next line where there is no room."""
    head, *body = rows
    table = Table(box=None, pad_edge=False, show_header=any(head), header_style="", padding=(0, GAP, 0, 0))
    words = {"kind", "", "network", "layer", "table"}
    for i in used:
        left = i == 0 or head[i] in words
        table.add_column(head[i], justify="left" if left else "right", overflow="fold", max_width=None if i else most)
    for row in body:
        if any(row[i] for i in used[1:]):
            table.add_row(*(row[i] for i in used))
    return table
