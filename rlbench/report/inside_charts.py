"""The pictures of a look inside an agent, small multiples in which each seed is a line or a dot: of layers, values,
features, gradients and the replay buffer."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from ..inspection.findings import percent
from ..inspection.look import SeedLook
from ..numbers import number
from ..plots.look import Look, as_typed
from .charts import Chart, inline

LOOK = Look(width=3.1)
MOST = 20  # seeds that are drawn
TALL = 1.7  # inches
BARS = 16  # of one picture
FAILURES = ("dead", "saturated", "dormant")
NAMED = ("Blue", "Orange", "Green")  # the first colours of `LOOK`


def layer_charts(seeds: Sequence[SeedLook], prefix: str) -> list[Chart]:
    """Units that do nothing, and histograms of what each layer gives."""
    out = _failures(seeds, f"{prefix}u-")
    for i, layer in enumerate(seeds[0].layers):
        own = [s.layers[i] for s in seeds[:MOST] if len(s.layers) > i and s.layers[i].title == layer.title]

        def paint(ax: Axes, own: Sequence = own) -> None:
            for one in own:
                _steps(ax, np.array(one.edges), np.array(one.counts), 0, len(own))
            ax.set_yscale("log")
            ax.set_xlabel("activation" if own[0].place else "output", fontsize=LOOK.font)
            ax.set_ylabel("share of values", fontsize=LOOK.font)

        worst = {name: max((getattr(one, name) or 0.0) for one in own) for name in FAILURES}
        told = [f"{percent(share)} {name}" for name, share in worst.items() if share]
        caption = ("At worst " if len(own) > 1 else "") + ", ".join(told) + "." if told else "All units at work."
        title = f"{layer.title}: {layer.kind}, {layer.units}"
        out.append(picture(title[0].upper() + title[1:], caption if layer.place else "", paint, f"{prefix}{i}-"))
    return out


def _failures(seeds: Sequence[SeedLook], prefix: str) -> list[Chart]:
    """Shares of units that fail, of every hidden layer: bars at the median, and a dot for each seed."""
    layers = [layer for layer in seeds[0].layers if layer.place][:BARS]
    if not layers:
        return []
    kinds = [name for name in FAILURES if any(getattr(layer, name) is not None for layer in layers)]
    by_title = [{layer.title: layer for layer in s.layers} for s in seeds[:MOST]]
    shares = {
        name: [[x for own in by_title if (x := getattr(own.get(layer.title), name, None)) is not None]
               for layer in layers]
        for name in kinds
    }  # fmt: skip

    def paint(ax: Axes) -> None:
        for k, name in enumerate(kinds):
            _bars(ax, shares[name], k, len(kinds))
        _across(ax, [f"{layer.network}, {layer.place}" for layer in layers])
        ax.set_xlim(0, 1)
        ax.set_xlabel("share of its units", fontsize=LOOK.font)

    caption = " ".join(f"{colour}: {name}." for colour, name in zip(NAMED, kinds, strict=False))
    return [picture("Units that do nothing, by layer", caption, paint, prefix, tall=_height(len(layers) * len(kinds)))]


def gradient_charts(seeds: Sequence[SeedLook], prefix: str) -> list[Chart]:
    """Norms of the next update's gradient, by the parameter, or where these are too many by the network."""
    known = [s.gradients for s in seeds[:MOST] if s.gradients]
    if not known or not known[0].networks:
        return []
    each = known[0].parameters if len(known[0].parameters) <= BARS else known[0].networks
    alone = f"{next(iter(known[0].networks))}." if len(known[0].networks) == 1 else ""
    norms = [[x for g in known if (x := {**g.networks, **g.parameters}.get(name)) is not None] for name in each]

    def paint(ax: Axes) -> None:
        _bars(ax, norms, 0, 1)
        _across(ax, [name.removeprefix(alone).replace("layers.", "") for name in each])
        ax.set_xlabel("norm of its gradient", fontsize=LOOK.font)

    title = f"Gradient of {alone[:-1]}" if alone else "Gradient"
    caption = f"Of {known[0].source}."
    return [picture(title, caption, paint, prefix, tall=_height(len(norms)))]


def value_charts(seeds: Sequence[SeedLook], prefix: str) -> list[Chart]:
    """What was expected of states, against what came."""
    known = [(s.seed, s.values) for s in seeds[:MOST] if s.values]
    if not known:
        return []
    first, out = known[0][1], list[Chart]()
    bounds = [v.possible for _, v in known if v.possible]
    if any(v.pairs for _, v in known):

        def scatter(ax: Axes) -> None:
            for i, (_, v) in enumerate(known):
                if v.pairs:
                    came, estimate = np.array(v.pairs).T
                    ax.plot(came, estimate, ".", markersize=2.5, alpha=0.6, color=LOOK.colour(i), markeredgewidth=0)
            low, high = ax.get_xlim()
            ax.axline((low, low), slope=1, color=LOOK.grey, linewidth=0.7, linestyle="--")
            ax.set_xlim(low, high)
            _bounds(ax.axhline, bounds, ax.get_ylim())
            ax.set_xlabel("discounted return that came", fontsize=LOOK.font)
            ax.set_ylabel(first.what, fontsize=LOOK.font)

        caption = "A dot a state; on the dashed diagonal the two are equal. Dotted: the largest and the least return "
        caption += "that is possible." if bounds else "that is possible are not known."
        out.append(picture("Expected against what came", caption, scatter, f"{prefix}s-", tall=2.3))

    def histogram(ax: Axes) -> None:
        for _, v in known:
            edges = np.array(v.edges)
            _steps(ax, edges, np.array(v.came_counts), 1, len(known))
            _steps(ax, edges, np.array(v.estimate_counts), 0, len(known))
        _bounds(ax.axvline, bounds, ax.get_xlim())
        ax.set_xlabel("discounted return", fontsize=LOOK.font)
        ax.set_ylabel("share of states", fontsize=LOOK.font)

    caption = f"Blue: {first.what}. Orange: the discounted returns that came."
    out.append(picture("Expected, and what came", caption, histogram, f"{prefix}h-", tall=2.3))
    return out


def feature_charts(seeds: Sequence[SeedLook], prefix: str) -> list[Chart]:
    """Spectra of the features."""
    out = []
    for i, rank in enumerate(seeds[0].ranks):
        own = [s.ranks[i] for s in seeds[:MOST] if len(s.ranks) == len(seeds[0].ranks) and s.ranks[i].spectrum]
        if not own:
            continue

        def paint(ax: Axes, own: Sequence = own) -> None:
            for one in own:
                x, y = np.arange(1, len(one.spectrum) + 1), np.maximum(one.spectrum, 1e-8)
                ax.plot(x, y, color=LOOK.colour(0), linewidth=0.9, alpha=max(0.3, 1 / len(own)))
                if one.effective:
                    at = min(one.effective, len(y))
                    ax.plot([at], [y[at - 1]], "o", color=LOOK.colour(4), markersize=3)
            ax.set_yscale("log")
            ax.set_xlabel("singular value", fontsize=LOOK.font)
            ax.set_ylabel("of the largest", fontsize=LOOK.font)

        ranks = sorted(one.effective for one in own)
        to = f"{ranks[0]}" + f" to {ranks[-1]}" * (ranks[0] != ranks[-1])
        caption = f"Effective rank (the dot): {to} of {rank.most}."
        out.append(picture(f"Features of {rank.network}", caption, paint, f"{prefix}{i}-"))
    return out


def buffer_charts(seeds: Sequence[SeedLook], prefix: str) -> list[Chart]:
    """Actions and rewards in the replay buffer."""
    known = [s.buffer for s in seeds[:MOST] if s.buffer]
    if not known:
        return []
    out = []
    if known[0].actions:

        def actions(ax: Axes) -> None:
            shares = np.array([b.actions for b in known])  # (S, A)
            x = np.arange(shares.shape[1])
            ax.bar(x, np.median(shares, 0), color=LOOK.colour(0), width=0.7)
            for row in shares if len(known) > 1 else ():
                ax.plot(x, row, ".", color=LOOK.ink, markersize=3)
            ax.set_xticks(x[:: -(-len(x) // 12)])
            ax.axhline(1 / len(x), color=LOOK.grey, linewidth=0.7, linestyle="--")
            ax.set_xlabel("action", fontsize=LOOK.font)
            ax.set_ylabel("share of steps", fontsize=LOOK.font)

        out.append(picture("Actions in the buffer", "Dashed: all as often.", actions, f"{prefix}a-"))

    def rewards(ax: Axes) -> None:
        for b in known:
            _steps(ax, np.array(b.reward_edges), np.array(b.reward_counts), 0, len(known))
        ax.set_yscale("log")
        ax.set_xlabel("reward", fontsize=LOOK.font)
        ax.set_ylabel("share of steps", fontsize=LOOK.font)

    zero = [b.zero for b in known]
    out.append(picture("Rewards in the buffer", f"{percent(float(np.median(zero)))} are 0.", rewards, f"{prefix}r-"))
    return out


def picture(title: str, caption: str, paint: Callable[[Axes], None], prefix: str, tall: float = TALL) -> Chart:
    assert LOOK.width is not None
    fig = Figure(figsize=(LOOK.width, tall), dpi=300, layout="constrained")
    ax = fig.add_subplot()
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(LOOK.grey)
    ax.spines[["left", "bottom"]].set_linewidth(0.5)
    ax.grid(color=LOOK.grid, linewidth=0.5)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=LOOK.font - 1, labelcolor=LOOK.ink, color=LOOK.grey, width=0.5, length=2.5, pad=2)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    paint(ax)
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set_color(LOOK.ink)  # the page makes it light where it is dark; it knows no plain black
    if ax.get_yscale() == "log":  # plain letters: formulas take as long as all the rest
        ax.yaxis.set_major_locator(LogLocator(numticks=6))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x)))
        ax.yaxis.set_minor_locator(NullLocator())
    return Chart(as_typed(title), caption, inline(fig, prefix, f"{title}. {caption}"))


def _bars(ax: Axes, values: Sequence[Sequence[float]], k: int, kinds: int) -> None:
    """Bars across, one for each row, at the median of its seeds; of several kinds the one at position ``k``."""
    thick = 0.8 / kinds
    at = np.arange(len(values)) + (k - (kinds - 1) / 2) * thick
    ax.barh(at, [float(np.median(x)) if x else 0.0 for x in values], color=LOOK.colour(k), height=thick * 0.9)
    for y, row in zip(at, values, strict=True):
        if len(row) > 1:
            ax.plot(row, [y] * len(row), ".", color=LOOK.ink, markersize=2.5, markeredgewidth=0)


def _across(ax: Axes, names: Sequence[str]) -> None:
    """Names of rows, the first at the top."""
    ax.set_yticks(range(len(names)), [as_typed(name) for name in names])
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")


def _height(bars: int) -> float:
    return max(TALL, 0.6 + 0.14 * bars)


def _steps(ax: Axes, edges: np.ndarray, counts: np.ndarray, colour: int, lines: int) -> None:
    """A histogram as a line, as shares; bins without anything are gaps on a logarithmic axis."""
    shares = counts / max(counts.sum(), 1)
    alpha = max(0.35, 1 / lines)
    ax.stairs(shares, edges, fill=lines == 1, color=LOOK.colour(colour), linewidth=1.0, alpha=alpha)


def _bounds(line: Callable[..., object], bounds: Sequence[tuple[float, float]], limits: tuple[float, float]) -> None:
    """The least and the largest return that is possible, where they are not far outside of what is drawn."""
    wide = limits[1] - limits[0]
    for at in (min(b[0] for b in bounds), max(b[1] for b in bounds)) if bounds else ():
        if limits[0] - wide <= at <= limits[1] + wide:
            line(at, color=LOOK.colour(4), linewidth=0.8, linestyle=":")
