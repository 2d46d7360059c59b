"""The heat map: every square is there with its figures, what is missing is hatched, and nothing lies upon another."""

import math

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from rlbench.errors import UsageError
from rlbench.plots.heatmap import DARK, LIGHT, NO_SCALE, HeatMap, Square, draw_heat_map

NAMES = ("dqn", "dqn n_step=3", "dqn double_q=false learning_rate=0.0003", *(f"agent{i}" for i in range(7)))
ENVS = ("CartPole-v1", "LunarLander-v3", "rlbench/Catch-v0", *(f"ALE/Game{i}-v5" for i in range(17)))


def made(contestants: int, envs: int) -> HeatMap:
    """Scores from -0.2 to 1.2, of which the last one is missing."""
    who, where = NAMES[:contestants], ENVS[:envs]
    keys = [(a, b) for a in who for b in where]
    values = np.linspace(-0.2, 1.2, len(keys)).tolist()
    squares = {
        key: Square(value, (value * 500, value * 500 - 30, value * 500 + 20))
        for key, value in zip(keys, values, strict=True)
    }
    squares[keys[-1]] = Square(math.nan, None, "1 failed")
    overall = {a: Square(0.5, None, "[0.41, 0.62]") for a in who[:-1]} if envs > 1 else {}
    return HeatMap(who, where, squares, overall)


def texts(fig: Figure) -> list[str]:
    return [text.get_text().replace("\n", "") for text in fig.findobj(Text) if text.get_text()]


@pytest.mark.parametrize(("contestants", "envs"), [(2, 1), (1, 1), (3, 4), (10, 20), (2, 20)])
def test_every_square_says_its_score(contestants: int, envs: int) -> None:
    found = made(contestants, envs)
    fig = draw_heat_map(found, title="runs/mine")
    said = texts(fig)
    for name in (*found.contestants, *found.envs, "runs/mine", "1 failed"):
        assert name.replace(" ", "") in [text.replace(" ", "") for text in said]
    scored = [one for one in found.squares.values() if not math.isnan(one.value)]
    for one in scored:
        assert f"{one.value:.2f}".replace("-0.00", "0.00").replace("-", "−") in said
    assert sum("[" in text for text in said) == len(scored) + max(len(found.overall), 0)
    if envs > 1:
        assert "all environments" in said
        assert "-" in said  # the contestant that was left out there
    patches = [p for p in fig.axes[0].patches if isinstance(p, Rectangle)]
    assert len(patches) == contestants * envs + contestants * (envs > 1)
    assert sum(p.get_hatch() is not None for p in patches) == 1 + (envs > 1)


@pytest.mark.parametrize(("contestants", "envs"), [(2, 1), (3, 4), (10, 20)])
def test_nothing_lies_upon_another_or_beyond_the_edge(contestants: int, envs: int) -> None:
    fig = draw_heat_map(made(contestants, envs), title="runs/mine")
    renderer = FigureCanvasAgg(fig).get_renderer()
    shown = [text for text in fig.findobj(Text) if text.get_text() and text.get_visible()]
    x0, y0, x1, y1 = np.array([text.get_window_extent(renderer).extents for text in shown]).T
    assert min(x0) >= -1
    assert min(y0) >= -1
    assert max(x1) <= fig.bbox.x1 + 1
    assert max(y1) <= fig.bbox.y1 + 1
    across = np.minimum(x1[:, None], x1) - np.maximum(x0[:, None], x0)  # (texts, texts) pixels in common
    down = np.minimum(y1[:, None], y1) - np.maximum(y0[:, None], y0)
    np.fill_diagonal(across, 0)
    assert not np.any((across > 1) & (down > 3))


def test_letters_can_be_read_on_their_squares() -> None:
    fig = draw_heat_map(made(3, 4))
    inks = {text.get_text(): text.get_color() for text in fig.findobj(Text)}
    assert inks["−0.20"] == LIGHT
    assert inks["0.95"] == DARK
    assert inks["1 failed"] == DARK


def test_colours_go_from_0_to_1_and_lightness_with_them() -> None:
    values = (-0.5, 0.0, 0.3, 0.6, 1.0, 1.5)
    squares = {(str(v), "e"): Square(v) for v in values}
    fig = draw_heat_map(HeatMap(tuple(map(str, values)), ("e",), squares, {}))
    greys = [np.dot(matplotlib.colors.to_rgb(p.get_facecolor()), (0.299, 0.587, 0.114)) for p in fig.axes[0].patches]
    assert greys[0] == greys[1]
    assert greys[4] == greys[5]
    assert greys[1] < greys[2] - 0.1 < greys[3] - 0.2 < greys[4] - 0.3


def test_a_score_without_a_scale_is_hatched_and_stands_there() -> None:
    fig = draw_heat_map(HeatMap(("dqn",), ("A",), {("dqn", "A"): Square(math.nan, (0.0, 0.0, 0.0), NO_SCALE)}, {}))
    said = texts(fig)
    assert any(text.startswith("no scale0") for text in said)
    assert not any("1.00" in text for text in said)
    assert any("No scale: " in text for text in said)
    assert not any("Hatched" in text for text in said)
    assert sum(p.get_hatch() is not None for p in fig.axes[0].patches) == 1


def test_a_pair_that_nobody_ran_is_hatched_too() -> None:
    fig = draw_heat_map(HeatMap(("a", "b"), ("e",), {("a", "e"): Square(0.5)}, {}))
    assert "no run" in texts(fig)
    assert any("Hatched" in text for text in texts(fig))
    whole = draw_heat_map(HeatMap(("a",), ("e",), {("a", "e"): Square(0.5)}, {}))
    assert not any("Hatched" in text for text in texts(whole))


def test_many_environments_stand_below_one_another() -> None:
    few, many = draw_heat_map(made(2, 8)), draw_heat_map(made(2, 20))
    assert few.get_size_inches()[0] > few.get_size_inches()[1]
    assert many.get_size_inches()[0] < many.get_size_inches()[1]


def test_nothing_cannot_be_drawn() -> None:
    with pytest.raises(UsageError, match="nothing to draw"):
        draw_heat_map(HeatMap((), ("e",), {}, {}))
