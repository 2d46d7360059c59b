"""Tests of the other pictures: evaluations, profiles, times to a threshold, final scores, sizes and dark pages."""

import json
import math
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from command import mistake, rlbench
from matplotlib.figure import Figure
from test_curves import TWO, Story, write_run

from rlbench.cli.plot import plot as command
from rlbench.errors import RunFolderError, UsageError
from rlbench.plots import learning, scores, threshold
from rlbench.plots import look as plot_look
from rlbench.plots.curves import PooledRuns, curves_of, group_runs, learning_curve, pool
from rlbench.plots.look import Look
from rlbench.plots.scores import FinalScores, draw_profiles, draw_scores, profile, scores_of
from rlbench.plots.threshold import Times, draw_times, share_reached, times_of
from rlbench.runfolder.history import What, read_run, read_runs
from rlbench.stats import intervals
from rlbench.stats.estimates import aggregate
from rlbench.stats.survival import wilson

pytestmark = pytest.mark.draws

HEADER = "seed,env_steps,episodes,mean_return,std_return,min_return,max_return,mean_length,wall_seconds\n"


def evaluated(run: Path, seeds: dict[int, Story], **how: Any) -> Path:
    """A run folder with these greedy evaluations; its training episodes have the same returns."""
    write_run(run, seeds, **how)
    rows = [(steps, seed, value) for seed, story in seeds.items() for steps, value in story]
    text = "".join(f"{seed},{steps},20,{value},0,0,9,9,{steps / 10}\n" for steps, seed, value in sorted(rows))
    (run / "evaluations.csv").write_text(HEADER + text)
    return run


def groups(*runs: Path, what: What = "evaluations") -> list[PooledRuns]:
    return pool([read_run(run, what) for run in runs])


def grown(seeds: int, top: float = 500.0) -> dict[int, Story]:
    """Four evaluations of each seed, rising to ``top`` and all different."""
    return {s: [(1000 * i, top * i / 4 - 3.0 * s) for i in range(1, 5)] for s in range(seeds)}


@pytest.mark.parametrize("stat", ["iqm", "median"])
def test_the_line_can_be_another_statistic_with_its_bootstrap_band(tmp_path: Path, stat: Any) -> None:
    story = {s: [(10, 0.0), (20, float(s * s))] for s in range(9)}
    (curve,) = group_runs(write_run(tmp_path / "r", story), window=1, points=2, stat=stat)
    compute = intervals.iqm if stat == "iqm" else np.median
    np.testing.assert_allclose(curve.middle, compute(curve.per_seed, axis=0))
    # A normal's 95 % interval, 1.96 wide, drawn out by sqrt(9 / 8).
    interval = intervals.bootstrap_interval(curve.per_seed, compute, confidence=math.erf(1.959964 * math.sqrt(9 / 16)))
    np.testing.assert_allclose([curve.low, curve.high], interval)
    assert curve.low[1] < curve.middle[1] < curve.high[1]
    assert curve.low[0] == curve.high[0] == 0
    fig = learning.figure(tmp_path / "r", window=1, stat=stat)
    name = {"iqm": "interquartile mean", "median": "median"}[stat]
    assert fig.get_supxlabel().startswith(f"Line: {name} over seeds.  Band: its 95 % interval (bootstrap).")


def test_a_bootstrap_band_ends_where_not_every_seed_has_a_value(tmp_path: Path) -> None:
    story = {s: [(10 * (s + 1), 1.0), (90, float(s))] for s in range(4)}
    (curve,) = group_runs(write_run(tmp_path / "r", story), window=1, points=9, stat="iqm")
    np.testing.assert_array_equal(np.isnan(curve.low), np.isnan(curve.per_seed).any(0))
    assert np.isnan(curve.low).sum() == 3


def test_greedy_evaluations_are_shown_where_they_were_made(tmp_path: Path) -> None:
    run = evaluated(tmp_path / "r", {0: [(100, 1.0), (250, 3.0)], 1: [(100, 5.0), (200, 9.0)]})
    (curve,) = group_runs(run, what="evaluations")
    np.testing.assert_array_equal(curve.x, [100, 200, 250])
    np.testing.assert_array_equal(curve.per_seed, [[1, 1, 3], [5, 9, 9]])
    assert (curve.what, curve.window) == ("evaluations", 1)
    (curve,) = group_runs(run, "time", what="evaluations")
    np.testing.assert_array_equal(curve.x, [10, 20, 25])
    with pytest.raises(UsageError, match="not over episodes"):
        group_runs(run, "episodes", what="evaluations")
    with pytest.raises(UsageError, match="unknown stat 'mode': choose one of mean, iqm, median"):
        group_runs(run, stat="mode")  # type: ignore[arg-type]
    ax = learning.figure(run, what="evaluations").axes[0]
    assert ax.get_ylabel() == "greedy return\n(mean of an evaluation)"


def test_a_seed_that_stopped_early_is_told_by_its_steps_not_by_its_last_episode(tmp_path: Path) -> None:
    story = {0: [(50, 1.0), (90, 1.0)], 1: [(50, 1.0), (60, 1.0)]}  # a long episode was under way at the end
    full = {"env_steps_of_seed": {"0": 100, "1": 100}, "stopped_because": "total_steps"}
    assert not learning_curve(write_run(tmp_path / "full", story, summary=full)).early
    early = {"env_steps_of_seed": {"0": 100, "1": 60}, "stopped_because": "solved, total_steps"}
    assert learning_curve(write_run(tmp_path / "early", story, summary=early)).early


def test_runs_that_cannot_be_read_are_left_out_with_a_line_each(tmp_path: Path) -> None:
    whole = evaluated(tmp_path / "whole", TWO)
    killed = evaluated(tmp_path / "killed", {**TWO, 5: []}, summary={}, keys="total_steps = 90")
    other = evaluated(tmp_path / "other", TWO, env="Acrobot-v1")
    empty = write_run(tmp_path / "empty", {0: []})
    damaged = write_run(tmp_path / "damaged", TWO)
    with (damaged / "episodes.csv").open("a") as file:
        file.write("9\n")
    found, notes = read_runs([whole, killed, empty, damaged, tmp_path / "none", other, whole])
    assert [history.run.name for history in found] == ["whole", "killed", "other"]
    assert notes == [
        f"{killed} is unfinished: its record ends at env step 40 of 90.",
        f"{killed}: 1 of 3 seeds have no finished episode yet.",
        f"left out: no episode finished yet in {empty}; a curve needs one. Wait for it, or train for more steps.",
        f"left out: {damaged}/episodes.csv is damaged at line 7: 1 fields instead of 7.",
        f"left out: {tmp_path}/none is no run folder: there is no such folder. Runs lie under runs/.",
        "2 environments (Acrobot-v1, CartPole-v1): a panel each; their returns are not comparable.",
    ]
    with pytest.raises(RunFolderError, match="line 7"):
        read_runs([damaged, empty])
    with pytest.raises(UsageError, match=r"no greedy evaluation yet in .*empty\. .* --what returns"):
        read_run(empty, "evaluations")


def test_workers_that_have_nothing_yet_do_not_hide_the_others(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", {0: [], 1: []}, summary={})
    for worker, seeds in (("0", {0: TWO[3]}), ("1", {1: []})):
        write_run(run / "workers" / worker, seeds)
    history = read_run(run)
    assert ([seed.number for seed in history.seeds], history.planned, history.over) == ([0], 2, False)


def test_profile_by_hand() -> None:
    tau, share, low, high = profile(np.array([3.0, 1.0, 1.0, 7.0]))
    np.testing.assert_array_equal(tau, [1, 3, 7])
    np.testing.assert_array_equal(share, [0.5, 0.25, 0])
    np.testing.assert_allclose(np.stack([share, low, high], 1), [wilson(k, 4) for k in (2, 1, 0)])


def test_final_scores_are_those_of_the_final_weights(tmp_path: Path) -> None:
    over = {"final_eval_return": {"0": 7.0, "1": None}, "stopped_because": "total_steps", "solved_at": 8.0}
    run = evaluated(tmp_path / "r", grown(2), summary=over)
    (found,) = scores_of(groups(run))
    np.testing.assert_array_equal(found.scores, [7.0, 497.0])  # a seed without a final figure: its newest evaluation
    assert (found.name, found.source, found.solved_at) == ("greedy return", "final weights", 8.0)
    assert found.aggregates["mean"] == aggregate([found.scores]).mean
    over["stopped_because"] = "interrupted"
    (run / "summary.json").write_text(json.dumps(over))
    (found,) = scores_of(groups(run))
    np.testing.assert_array_equal(found.scores, [500.0, 497.0])
    assert found.source == "newest evaluation"
    (found,) = scores_of(groups(run, what="returns"), window=2)
    np.testing.assert_array_equal(found.scores, [(375 + 500) / 2, (372 + 497) / 2])
    assert (found.name, found.source) == ("episode return", "mean of the last 2 training episodes")


def test_the_score_pictures_show_what_was_computed(tmp_path: Path) -> None:
    a = evaluated(tmp_path / "a", grown(4))
    b = evaluated(tmp_path / "b", grown(3, 300), agent="random", hyper="")
    found = scores_of(groups(a, b))
    (ax,) = [ax for ax in draw_scores(found).axes if ax.axison]
    drawn = {(*line.get_xdata(), line.get_color()) for line in ax.lines if line.get_linewidth() == 2.0}
    for s, colour in zip(found, plot_look.PALETTE, strict=False):
        assert {(e.low, e.high, colour) for e in s.aggregates.values()} <= drawn
    dots = [list(line.get_xdata()) for line in ax.lines if line.get_linestyle() == "None" and len(line.get_xdata()) > 1]
    assert dots == [s.scores.tolist() for s in found]
    assert [text.get_text() for text in ax.texts] == ["dqn · 4 seeds", "random · 3 seeds"]
    (ax,) = [ax for ax in draw_profiles(found).axes if ax.axison]
    steps = [line for line in ax.lines if line.get_linewidth() == 2.0]
    np.testing.assert_array_equal(steps[0].get_ydata(), [1, 0.75, 0.5, 0.25, 0, 0])
    np.testing.assert_array_equal(steps[0].get_xdata()[1:-1], [491, 494, 497, 500])
    assert steps[0].get_marker() != steps[1].get_marker()  # told apart without colours
    assert len(ax.collections) == 2


def test_many_profiles_have_no_bands(tmp_path: Path) -> None:
    runs = [evaluated(tmp_path / str(i), grown(3, 100.0 * i), hyper=f"gamma = 0.{i}") for i in range(1, 7)]
    fig = draw_profiles(scores_of(groups(*runs)))
    assert not fig.axes[0].collections
    assert "without intervals" in fig.get_supxlabel()
    (ax, *_) = draw_times(times_of(groups(*runs), threshold=150.0)[0]).axes
    assert not ax.collections
    assert len([line for line in ax.lines if line.get_linewidth() == 1.8]) == 6  # the intervals, at the right


def test_times_to_a_threshold_by_hand(tmp_path: Path) -> None:
    story = {0: [(10, 1.0), (20, 5.0), (30, 1.0)], 1: [(10, 1.0), (25, 4.0)], 2: [(10, 6.0)]}
    ends = {"env_steps_of_seed": {"0": 40, "1": 35, "2": 10}, "solved_at": 5.0, "stopped_because": "x"}
    run = evaluated(tmp_path / "r", story, summary=ends)
    (times,), notes = times_of(groups(run))
    np.testing.assert_array_equal(times.at, [20, 35, 10])  # seed 1 was trained up to step 35 in vain
    np.testing.assert_array_equal(times.reached, [True, False, True])
    assert (times.threshold, times.by, notes) == (5.0, "a greedy evaluation", [])
    (times,), _ = times_of(groups(run, what="returns"), window=2, threshold=3.0)
    np.testing.assert_array_equal(times.at, [20, 35, 10])
    np.testing.assert_array_equal(times.reached, [True, False, False])  # one episode is no window of two
    (times,), _ = times_of(groups(run, what="returns"), 5.0, "episodes", window=1)
    np.testing.assert_array_equal(times.at, [2, 2, 1])
    with pytest.raises(UsageError, match="not over episodes"):
        times_of(groups(run), axis="episodes")


def waited(at: list[float], reached: list[bool]) -> Times:
    return Times("dqn", "E", "steps", 1.0, np.array(at), np.array(reached), len(at), "x")


def test_the_share_that_reached_it_is_wilsons_where_nobody_was_lost() -> None:
    x, share, low, high = share_reached(waited([30, 10, 20, 40, 40], [True, True, True, False, False]))
    np.testing.assert_array_equal(x, [0, 10, 20, 30])
    np.testing.assert_allclose(np.stack([share, low, high], 1), [wilson(k, 5) for k in (0, 1, 2, 3)], atol=1e-12)
    x, share, low, high = share_reached(waited([5, 5, 5], [True, True, True]))
    np.testing.assert_allclose(np.stack([share, low, high], 1), [wilson(k, 3) for k in (0, 3)], atol=1e-12)
    x, share, low, high = share_reached(waited([7, 9], [False, False]))
    np.testing.assert_allclose([x, share, low, high], np.transpose([[0, *wilson(0, 2)]]))


def test_seeds_that_were_lost_earlier_widen_the_interval() -> None:
    """Ten seeds, of which five stopped at 15 without a result: Kaplan and Meier, and Greenwood's variance, by hand."""
    at, reached = [10.0, 10, 15, 15, 15, 15, 15, 20, 30, 30], [True, True, *[False] * 5, True, False, False]
    x, share, low, high = share_reached(waited(at, reached))
    np.testing.assert_array_equal(x, [0, 10, 20])
    np.testing.assert_allclose(share, [0, 0.2, 1 - 0.8 * 2 / 3])
    greenwood = 2 / (10 * 8) + 1 / (3 * 2)
    worth = share[2] / ((1 - share[2]) * greenwood)
    assert worth < 10
    z2 = 1.959964**2
    middle = (share[2] + z2 / (2 * worth)) / (1 + z2 / worth)
    half = np.sqrt(z2 * (share[2] * (1 - share[2]) / worth + z2 / (4 * worth**2))) / (1 + z2 / worth)
    np.testing.assert_allclose([low[2], high[2]], [middle - half, middle + half], rtol=1e-6)


def test_the_threshold_picture_shows_steps_and_who_was_lost(tmp_path: Path) -> None:
    run = evaluated(tmp_path / "r", {**grown(3), 3: [(1000, 1.0), (2000, 2.0)]}, summary={"solved_at": 250.0})
    (times,), _ = times_of(groups(run))
    (ax,) = (fig := draw_times([times])).axes
    (line,) = [line for line in ax.lines if line.get_linewidth() == 2.0]
    np.testing.assert_array_equal(line.get_xydata(), [[0, 0], [2000, 0.25], [3000, 1], [3000, 1]])
    (lost,) = [line for line in ax.lines if line.get_marker() == "|"]
    np.testing.assert_array_equal(lost.get_xydata(), [[2000, 0.25]])
    assert ax.get_ylabel() == "share of seeds that\nhave reached 250"
    assert "seeds end there without having reached it" in fig.get_supxlabel()


def test_an_environment_without_a_threshold_is_left_out(tmp_path: Path) -> None:
    known = evaluated(tmp_path / "known", grown(2), summary={})  # killed: its summary would have named 475
    unknown = evaluated(tmp_path / "unknown", grown(2), env="Nowhere-v0")
    found, notes = times_of(groups(known, unknown))
    assert [(times.env, times.threshold) for times in found] == [("CartPole-v1", 475.0)]
    assert notes == ["left out: Nowhere-v0 names no return that counts as solved: choose one with --threshold."]
    with pytest.raises(UsageError, match="Nowhere-v0 names no return"):
        times_of(groups(unknown))
    assert len(times_of(groups(known, unknown), threshold=1.0)[0]) == 2
    with pytest.raises(UsageError, match="no run to draw"):
        times_of([])


def everything(runs: list[Path], look: Look) -> list[Figure]:
    made = groups(*runs)
    return [
        learning.draw(curves_of(made), look=look, title="A title that is long enough to need two lines in one column"),
        draw_scores(scores_of(made), look=look),
        draw_profiles(scores_of(made), look=look),
        draw_times(times_of(made, threshold=400.0)[0], look=look),
    ]


@pytest.mark.parametrize("width", [None, 3.3, 7.0])
def test_nothing_is_cut_off_at_any_size(tmp_path: Path, width: float | None) -> None:
    runs = [
        evaluated(tmp_path / "a", grown(4)),
        evaluated(tmp_path / "b", grown(1), hyper="learning_rate = 0.00025\nn_step = 3\nbatch_size = 128"),
        evaluated(tmp_path / "c", grown(2), env="Acrobot-v1"),
    ]
    for fig in everything(runs, Look(width)):
        assert width is None or fig.get_size_inches()[0] == width
        fig.draw_without_rendering()
        whole = fig.bbox.padded(1)
        texts = [t for ax in fig.axes for t in (ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts)]
        texts = [text for text in texts if text.get_text()]
        legends = [ax.get_legend() for ax in fig.axes if ax.get_legend()]
        assert len(texts) >= 5
        for thing in [*texts, *legends, *(t for legend in legends for t in legend.get_texts())]:
            box = thing.get_window_extent()
            assert whole.x0 <= box.x0 <= box.x1 <= whole.x1, thing
            assert whole.y0 <= box.y0 <= box.y1 <= whole.y1, thing
        assert min(text.get_fontsize() for text in texts) >= (5 if width else 8)


def test_a_dark_page_has_light_letters_and_no_background(tmp_path: Path) -> None:
    for fig in everything([evaluated(tmp_path / "a", grown(4))], Look(dark=True)):
        assert fig.patch.get_alpha() == 0
        assert float(str(fig.axes[0].xaxis.label.get_color())) > 0.8
    ours = {Look(dark=True).colour(i) for i in range(7)}
    assert "#000000" not in ours
    assert len(ours) == 7


def test_svg_goes_into_a_page_and_is_the_same_each_time(tmp_path: Path) -> None:
    run = evaluated(tmp_path / "a", grown(4))
    first, again = (learning.to_svg(learning.figure(run)) for _ in range(2))
    assert first == again
    assert ET.fromstring(first).tag == "{http://www.w3.org/2000/svg}svg"
    assert first.startswith("<svg")


def test_a_pdf_holds_letters_that_publishers_take(tmp_path: Path) -> None:
    content = learning.plot_runs(evaluated(tmp_path / "a", grown(2)), tmp_path / "c.pdf").read_bytes()
    assert b"/Type3" not in content
    assert b"/Type0" in content


def test_neighbouring_colours_differ_in_lightness() -> None:
    """So that the first curves stay apart in greyscale print."""
    rgb = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in plot_look.PALETTE[:3]]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lightness = 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16  # CIE 1976
    assert np.abs(np.diff(lightness)).min() > 10


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("curve", "CartPole-v1: dqn, 4 seeds: final return 492.5 [488.7, 496.3] at env step 4,000"),
        ("scores", "CartPole-v1: dqn, 4 seeds: mean 495.5 [491.0, 500.0]"),
        ("profile", "CartPole-v1: dqn, 4 seeds: mean 495.5 [491.0, 500.0]"),
        ("threshold", "CartPole-v1: dqn: 3 of 4 seeds reached 493 (75% [30%, 95%]), half of them by env step 4,000"),
    ],
)
def test_the_command_draws_every_kind_and_says_its_numbers(tmp_path: Path, kind: str, line: str) -> None:
    run = evaluated(tmp_path / "r", grown(4), summary={"solved_at": 493.0})
    if kind == "curve":
        line = line.replace("492.5 [488.7, 496.3]", "496 [489, 502]")
    result = CliRunner().invoke(command, [str(run), "--kind", kind, "--window", "1"], catch_exceptions=False)
    first, second = result.stdout.splitlines()
    assert first == str(run / f"{kind}.png")
    assert second.startswith(line)
    assert (run / f"{kind}.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_draws_what_it_can_and_says_what_it_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    evaluated(Path("a"), grown(4))
    evaluated(Path("one"), grown(1), agent="random", hyper="")
    write_run(Path("young"), TWO, agent="young", hyper="")
    result = rlbench("plot", "a", "young", "one", "nowhere", "--kind", "scores", "--what", "evaluations")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "scores.png"
    assert result.stderr.splitlines() == [
        "note: left out: no greedy evaluation yet in young. Wait for it, or show the training: --what returns.",
        "note: left out: nowhere is no run folder: there is no such folder. Runs lie under runs/.",
        "note: CartPole-v1: random has one seed: its score without an interval.",
    ]
    result = rlbench("plot", "a", "young", "--kind", "profile")  # more runs can show training returns
    assert "these are training returns" in result.stderr
    assert result.stdout.splitlines()[0] == "profiles.png"
    assert len(result.stdout.splitlines()) == 3
    assert "left out" in rlbench("plot", "a", "nowhere", "--kind", "threshold").stderr
    none = "Error: nowhere is no run folder: there is no such folder. Runs lie under runs/."
    assert mistake("plot", "nowhere", "--kind", "scores") == none
    assert "--threshold belongs to --kind threshold" in mistake("plot", "a", "--threshold", "3")
    assert "--threshold nan is no return" in mistake("plot", "a", "--kind", "threshold", "--threshold", "nan")
    assert "not over episodes" in mistake("plot", "a", "--what", "evaluations", "--x", "episodes")


def test_no_scores_are_no_picture() -> None:
    none: list[FinalScores] = []
    for drawing in (scores.draw_scores, scores.draw_profiles, threshold.draw_times):
        with pytest.raises(UsageError, match="no run to draw"):
            drawing(none)  # type: ignore[operator]


@pytest.mark.parametrize("width", [2.0, 3.0, 3.1, 5.0])
def test_a_caption_breaks_between_words_alone(width: float) -> None:
    """The report joins its lines again, by blanks."""
    times = Times("dqn", "E", "steps", 1.0, np.array([3.0, 9.0]), np.array([True, False]), 2, "a greedy evaluation")
    caption = draw_times([times], look=Look(width)).get_supxlabel()
    assert " ".join(caption.split()).endswith("without having reached it (Kaplan-Meier).")
