"""The pictures of a search."""

import math

from matplotlib.colors import to_hex

from rlbench.plots.learning import to_png
from rlbench.plots.look import PALETTE
from rlbench.plots.tuning import KeyAxis, KeyBar, TrialLine, draw_importance, draw_parallel

AXES = [
    KeyAxis("dqn.learning_rate", 1e-4, 1e-2, log=True),
    KeyAxis("dqn.n_step", 1, 8, whole=True),
    KeyAxis("dqn.hidden", -0.5, 1.5, choices=("[64,64]", "[128,128]")),
]
LINES = [
    TrialLine((1e-3, 3, 0), 10.0, "best, trial 4"),
    TrialLine((1e-4, 1, 1), 5.0, "base recipe, trial 0"),
    TrialLine((1e-2, 8, 0), 1.0),
    TrialLine((5e-3, 2, 1), 2.0),
]


def test_lines_lie_where_their_values_are() -> None:
    figure = draw_parallel(AXES, LINES, score="score", title="t", caption="c")
    ax = figure.axes[0]
    named = {line.get_label(): line for line in ax.lines if not str(line.get_label()).startswith("_")}
    assert list(named) == ["base recipe, trial 0", "best, trial 4"]  # the better one is drawn later
    heights = list(map(float, named["best, trial 4"].get_ydata()))
    assert math.isclose(heights[0], 0.5)  # of three powers of ten the middle
    assert math.isclose(heights[1], 2 / 7)
    assert abs(heights[2] - 0.25) <= 0.051  # a choice, moved a little
    room = 0.04 * 9
    assert math.isclose(heights[3], (9 + room) / (9 + 2 * room))
    assert to_hex(named["best, trial 4"].get_color()) == PALETTE[4].lower()
    words = {text.get_text() for text in ax.texts}
    assert {"[64,64]", "[128,128]", "1", "3", "6", "8", "0.01"} <= words
    assert len(to_png(figure, 40)) > 1000


def test_the_better_a_trial_the_darker_its_line() -> None:
    figure = draw_parallel(AXES, LINES[2:], score="score", title="", caption="")
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 4]
    light = [sum(line.get_color()[:3]) for line in lines]  # drawn from the worst on
    assert light[0] > light[1] + 1


def test_trials_that_score_the_same_are_drawn() -> None:
    same = [TrialLine((1e-3, 3, 0), 2.0), TrialLine((1e-3, 3, 1), 2.0)]
    assert len(to_png(draw_parallel(AXES, same, score="score", title="", caption=""), 40)) > 1000


def test_a_key_beyond_chance_stands_out() -> None:
    bars = [KeyBar("dqn.a", 0.5, 0.2), KeyBar("dqn.b", 0.1, 0.3)]
    figure = draw_importance(bars, title="t", caption="c")
    ax = figure.axes[0]
    assert [patch.get_width() for patch in ax.patches] == [0.5, 0.1]
    assert [patch.get_alpha() for patch in ax.patches] == [1.0, 0.35]
    assert ax.yaxis_inverted()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["dqn.a", "dqn.b"]
    assert ax.get_xlim()[1] > 0.5
