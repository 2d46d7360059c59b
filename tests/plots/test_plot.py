"""Tests of rlbench.plots.learning and of `rlbench plot`: what is drawn, what is written, what is refused."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from test_curves import Story, write_run

from rlbench.cli.plot import plot as command
from rlbench.errors import RunFolderError, UsageError
from rlbench.numbers import interval
from rlbench.plots import learning, look
from rlbench.plots.curves import group_runs

pytestmark = pytest.mark.draws

MAGIC = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


def stories(seeds: int, *, rise: float = 1.0, stop: int = 2000) -> dict[int, Story]:
    """CartPole-like: noisy returns that rise to 500, all different, the last seed stopping at ``stop`` steps."""
    rng = np.random.default_rng(seeds)
    found: dict[int, Story] = {}
    for s in range(seeds):
        ends = np.arange(20 + s, stop if s == seeds - 1 else 2000, 20)
        mean = 500 / (1 + np.exp(-rise * (ends - 1000 - 40 * s) / 200))
        found[s] = [(int(t), float(r)) for t, r in zip(ends, mean + rng.normal(0, 20, len(ends)), strict=True)]
    return found


def panels(fig: Figure) -> list[Axes]:
    return [ax for ax in fig.axes if ax.axison]


def lines(ax: Axes, width: float) -> list[Line2D]:
    """Means are 2 wide, seeds 0.7, the threshold 1."""
    return [line for line in ax.lines if line.get_linewidth() == width]


def legend(ax: Axes) -> list[str]:
    """What the panel's legend says, or that of all panels below them."""
    assert ax.figure is not None
    (found,) = {other.get_legend() for other in (ax, *(a for a in ax.figure.axes if not a.axison))} - {None}
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


def test_ten_seeds_are_a_mean_a_band_and_ten_thin_lines(tmp_path: Path) -> None:
    summary = {"solved_at": 475.0, "stopped_because": "solved, total_steps"}
    run = write_run(tmp_path / "r", stories(10, stop=1000), summary=summary)
    fig = learning.figure(run, window=5)
    (ax,) = panels(fig)
    (curve,) = group_runs(run, window=5)
    (mean,) = lines(ax, 2.0)
    np.testing.assert_array_equal(mean.get_xydata(), np.stack([curve.x, curve.middle], 1))
    assert len(lines(ax, 0.7)) == 10
    (band,) = ax.collections
    corners = {tuple(point) for point in band.get_paths()[0].vertices}
    known = ~np.isnan(curve.low)
    for edge in (curve.low, curve.high):
        assert set(zip(curve.x[known], edge[known], strict=True)) <= corners
    (threshold,) = lines(ax, 1.0)
    assert set(threshold.get_ydata()) == {475.0}
    assert threshold.get_linestyle() == "--"
    assert [text.get_text() for text in ax.texts] == ["solved at 475"]
    assert legend(ax) == ["dqn · 10 seeds"]
    assert (ax.get_title(), ax.get_xlabel()) == ("CartPole-v1", "env steps per seed")
    assert ax.get_ylabel() == "episode return\n(mean of last 5 episodes)"
    # The seed that stopped is drawn up to there, and counts in the mean beyond.
    drawn = [line.get_xdata()[~np.isnan(line.get_ydata())].max() for line in lines(ax, 0.7)]
    assert drawn[-1] <= 1000 < 1900 < min(drawn[:-1])
    assert "stopped early counts with its last value" in fig.get_supxlabel()


def test_one_seed_is_one_line(tmp_path: Path) -> None:
    fig = learning.figure(write_run(tmp_path / "r", stories(1)))
    (ax,) = panels(fig)
    assert (len(ax.lines), len(ax.collections), legend(ax)) == (1, 0, ["dqn · 1 seed"])
    assert "Band" not in fig.get_supxlabel()


def test_a_seed_without_an_episode_is_counted_as_missing(tmp_path: Path) -> None:
    (ax,) = panels(learning.figure(write_run(tmp_path / "r", {**stories(2), 2: []}, summary={})))
    assert legend(ax) == ["dqn · 2 of 3 seeds"]


def test_three_experiments_have_three_colours(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / "a", stories(4)),
        write_run(tmp_path / "b", stories(4, rise=0.5), hyper="learning_rate = 0.01"),
        write_run(tmp_path / "c", stories(3, rise=0.0), agent="random", hyper=""),
    ]
    (ax,) = panels(learning.figure(runs))
    assert [to_hex(str(line.get_color())).upper() for line in lines(ax, 2.0)] == list(look.PALETTE[:3])
    assert (len(lines(ax, 0.7)), len(ax.collections)) == (11, 3)
    assert legend(ax) == ["dqn, learning_rate=0.001 · 4 seeds", "dqn, learning_rate=0.01 · 4 seeds", "random · 3 seeds"]


def test_more_experiments_than_colours_are_told_apart_by_dashes(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / str(i), stories(2), hyper=f"gamma = 0.{i}") for i in range(1, 10)]
    (ax,) = panels(learning.figure(runs))
    looks = {(line.get_color(), str(line.get_linestyle())) for line in lines(ax, 1.5)}
    assert len(lines(ax, 1.5)) == len(looks) == 9
    # Bands and single seeds would hide the curves: the intervals at the end stand at the right instead.
    assert (len(lines(ax, 0.7)), len(ax.collections)) == (0, 0)
    bars = [line.get_ydata() for line in lines(ax, 1.8)]
    np.testing.assert_array_equal(bars, [curve.final()[2:] for curve in group_runs(runs)])


def test_environments_have_panels_and_an_agent_one_colour(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / "a", stories(2)),
        write_run(tmp_path / "b", stories(2), env="Acrobot-v1", agent="random"),
        write_run(tmp_path / "c", stories(2), env="Acrobot-v1"),
    ]
    fig = learning.figure(runs, title="Two environments, cost in $ and $")
    left, right = panels(fig)
    assert (left.get_title(), right.get_title()) == ("CartPole-v1", "Acrobot-v1")
    assert [line.get_color() for line in lines(right, 2.0)] == [look.PALETTE[1], look.PALETTE[0]]
    assert lines(left, 2.0)[0].get_color() == look.PALETTE[0]
    assert fig.get_suptitle() == r"Two environments, cost in \$ and \$"  # no formula
    fig.draw_without_rendering()
    assert len(panels(learning.figure([*runs, *(write_run(tmp_path / e, stories(1), env=e) for e in "xy")]))) == 4


@pytest.mark.parametrize(
    ("per_episode", "label", "end"),
    [(1, "seconds", 100), (6, "minutes", 10), (600, "hours", 100 / 6)],
)
def test_time_has_a_readable_unit(tmp_path: Path, per_episode: int, label: str, end: float) -> None:
    story = [(10 * per_episode * i, 1.0) for i in range(1, 101)]  # a second per ten steps
    (ax,) = panels(learning.figure(write_run(tmp_path / "r", {0: story}), x="time"))
    assert f"({label})" in ax.get_xlabel()
    assert ax.lines[0].get_xdata()[-1] == pytest.approx(end)


def test_two_seeds_stay_readable_though_their_band_is_huge(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", {0: [(10, 0.0), (20, 1.0)], 1: [(10, 0.0), (20, 3.0)]})
    (ax,) = panels(learning.figure(run, window=1))
    assert np.nanmax([path.vertices[:, 1].max() for path in ax.collections[0].get_paths()]) > 14
    low, high = ax.get_ylim()
    assert -2 < low < 0
    assert 3 < high < 5


def test_equal_returns_and_odd_names_draw(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", {0: [(10, 1.0)], 1: [(10, 1.0)]}, agent="mine.py:_Odd", hyper="")
    (ax,) = panels(learning.figure(run))
    assert legend(ax) == [" _Odd · 2 seeds"]
    assert lines(ax, 2.0)[0].get_marker() == "o"  # the only point is seen
    learning.plot_runs(run, tmp_path / "x.png")


@pytest.mark.parametrize("ending", ["png", "svg", "pdf", "PNG"])
def test_pictures_are_written_whole(tmp_path: Path, ending: str) -> None:
    run = write_run(tmp_path / "r", stories(3))
    out = learning.plot_runs([run], tmp_path / "deep" / f"curve.{ending}")
    assert out == tmp_path / "deep" / f"curve.{ending}"
    assert out.read_bytes().startswith(MAGIC[ending.lower()])
    assert [path.name for path in out.parent.iterdir()] == [out.name]  # no leftovers
    assert stat.S_IMODE(out.stat().st_mode) == 0o644


def test_a_png_shows_the_curve_in_its_colour(tmp_path: Path) -> None:
    image = matplotlib.image.imread(learning.plot_runs(write_run(tmp_path / "r", stories(3)), tmp_path / "c.png"))
    blue = np.abs(image[..., :3] - np.array([0x00, 0x72, 0xB2]) / 255).max(-1) < 0.02
    assert image.shape[0] > 500
    assert image.shape[1] > 800
    assert blue.any(0).mean() > 0.7  # from side to side


def test_a_failed_write_leaves_the_old_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path / "r", stories(2))
    out = learning.plot_runs(run, tmp_path / "out" / "c.png")
    old = out.read_bytes()

    def fail(self: Any, file: Any, **_: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(RunFolderError, match=r"cannot write .*c\.png: No space left on device"):
        learning.plot_runs(run, out)
    assert out.read_bytes() == old
    assert os.listdir(out.parent) == ["c.png"]


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", {0: []})
    for out in ("curve", "curve.jpg"):
        with pytest.raises(UsageError, match=r"must end in \.png, \.svg or \.pdf"):
            learning.plot_runs([tmp_path / "unread"], out)
    with pytest.raises(UsageError, match=r"no episode finished yet in .*r;"):
        learning.plot_runs([run], tmp_path / "c.png")
    with pytest.raises(UsageError, match="is no run folder"):
        learning.plot_runs([tmp_path / "nowhere"], tmp_path / "c.png")
    with pytest.raises(UsageError, match="no run to draw"):
        learning.plot_runs([], tmp_path / "c.png")
    assert not (tmp_path / "c.png").exists()


def test_pyplot_is_left_alone() -> None:
    code = "import sys, rlbench.plots.learning; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_command_draws_one_run_into_its_folder(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", {0: [(10, 1.0), (1000, 2.0)], 1: [(10, 1.0), (1000, 4.0)]})
    result = CliRunner().invoke(command, [str(run), "--window", "1"], catch_exceptions=False)
    half = 12.706205  # t(1, 0.975) * s / sqrt(2), of 2 and 4
    assert result.output.splitlines() == [
        str(run / "curve.png"),
        f"CartPole-v1: dqn, 2 seeds: final return {interval(3, 3 - half, 3 + half)} at env step 1,000",
    ]
    assert (run / "curve.png").read_bytes().startswith(MAGIC["png"])


def test_the_command_draws_several_runs_into_the_folder_it_runs_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [write_run(tmp_path / name, {0: [(10, 1.5)]}, agent=name, hyper="") for name in ("dqn", "random")]
    names = [str(run) for run in runs]
    result = CliRunner().invoke(command, [*names, "--x", "episodes"], catch_exceptions=False)
    assert result.output.splitlines() == [
        "curves.png",
        "CartPole-v1: dqn, 1 seed: final return 1.5, no interval at episode 1",
        "CartPole-v1: random, 1 seed: final return 1.5, no interval at episode 1",
    ]
    assert (tmp_path / "curves.png").is_file()
    result = CliRunner().invoke(command, [*names, "--out", "c.svg", "--title", "Both"], catch_exceptions=False)
    assert result.output.startswith("c.svg\n")
    with pytest.raises(UsageError, match="must end in"):
        CliRunner().invoke(command, [*names, "--out", "c.gif"], catch_exceptions=False)
