"""Returns as text: readable whatever their size, and the same in everything that prints them."""

import json
import math
import re
import shutil
from pathlib import Path

import hypothesis
import pytest
from command import CARTPOLE, rlbench, succeeds
from hypothesis import strategies as st
from rlbench.experiments import results

from rlbench import numbers
from rlbench.live.panel import LABEL, _seed_name
from rlbench.numbers import MOST_SEEDS, exact, interval, number, of_seeds
from rlbench.report.page import write_report

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
SCALED = """
import gymnasium as gym
from gymnasium.envs.classic_control import CartPoleEnv

class Scaled(CartPoleEnv):
    def __init__(self, scale=1.0, render_mode=None):
        super().__init__(render_mode=render_mode)
        self.scale = scale
    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, reward * self.scale, *rest

gym.register("Scaled-v0", Scaled, max_episode_steps=500)
"""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (23.0, "23"),
        (187.34, "187.3"),
        (99.996, "100"),
        (12345.6, "12346"),
        (9999999.6, "1e7"),
        (1e9, "1e9"),
        (-1234567890, "-1.235e9"),
        (0.00125, "0.00125"),
        (-0.0001, "-0.0001"),
        (9.99999e-5, "0.0001"),
        (1.5e-6, "1.5e-6"),
        (5e-324, "4.941e-324"),
        (math.inf, "inf"),
        (math.nan, "-"),
        (None, "-"),
    ],
)
def test_a_number_alone(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(475.0, "475"), (0.7, "0.7"), (1234567.5, "1234567.5"), (1e9, "1e9"), (1e-6, "1e-6"), (-110.25, "-110.25")],
)
def test_a_chosen_number_keeps_all_digits(value: float, text: str) -> None:
    assert exact(value) == text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((41.26, 12.2, 66.4), "41 [12, 66]"),
        ((1.2e-6, 0.9e-6, 1.5e-6), "1.20e-6 [0.90e-6, 1.50e-6]"),
        ((0.003, 0.001, 0.005), "0.0030 [0.0010, 0.0050]"),
        ((1e9, 0.9e9, 1.1e9), "1.00e9 [0.90e9, 1.10e9]"),
        ((475.123, 475.1229, 475.1231), "475.1230 [475.1229, 475.1231]"),
        ((2.5, 1e-12, 5.0), "2.5 [0.0, 5.0]"),
        ((500.0, 500.0, 500.0), "500 [500, 500]"),
        ((-0.5, -1.3, -0.02), "-0.50 [-1.30, -0.02]"),  # not "0.0": it leaves 0 out
        ((9.3, math.nan, math.nan), "9.3 (no interval)"),
        ((0.3, -math.inf, 1.0), "0.3000 [-inf, 1.0000]"),
        ((math.nan, math.nan, math.nan), "-"),
    ],
)
def test_an_interval(given: tuple[float, float, float], text: str) -> None:
    assert interval(*given) == text


@hypothesis.given(st.floats(allow_nan=False, allow_infinity=False))
@hypothesis.example(1.7975e308)
@hypothesis.example(-1.7976931348623157e308)
def test_a_number_reads_back_to_four_digits_and_an_exact_one_wholly(x: float) -> None:
    assert float(number(x)) == pytest.approx(x, rel=5.1e-4, abs=0)
    assert float(exact(x)) == x
    assert len(number(x)) <= 11
    assert (number(x) == "0") == (x == 0)


@hypothesis.given(
    st.floats(-1, 1), st.floats(1e-3, 1), st.integers(-200, 200), st.sampled_from([1.0, 1e3]), st.booleans()
)
def test_an_interval_shows_two_digits_of_its_width(
    middle: float, half: float, power: int, apart: float, signed: bool
) -> None:
    scale = 10.0**power
    value, low, high = (scale * (apart * middle + x) for x in (0.0, -half, half))
    hypothesis.assume(low < value < high)
    found = [float(text) for text in re.findall(r"[-+]?\d[\d.]*(?:e-?\d+)?", interval(value, low, high, signed=signed))]
    assert found == pytest.approx([value, low, high], abs=0.051 * (high - low))
    assert found[1] < found[2]


@pytest.mark.parametrize("scale", [1e-3, *(pytest.param(scale, marks=pytest.mark.slow) for scale in (1e-6, 1e9))])
def test_every_command_shows_returns_of_any_size(scale: float, tmp_path: Path) -> None:
    """Not one of them says 0.00, and each says the number that is in summary.json."""
    (tmp_path / "scaled.py").write_text(SCALED)
    code = ("--import", tmp_path / "scaled.py")
    run = tmp_path / "run"
    more = ("--set", "eval_every=60", "--set", f"env_kwargs.scale={scale}", "--set", f"solved_at={400 * scale}")
    said = succeeds("train", "--env", "Scaled-v0", *code, *CARTPOLE[3:], *more, "--out", run, "--progress", "plain")
    summary = json.loads((run / "summary.json").read_text())
    finals = list(summary["final_eval_return"].values())
    (final,) = re.findall(r"Greedy return, final weights: .*", said)
    assert final.endswith(f"seeds: {number(finals[0])} {number(finals[1])}")
    assert f"Solved ({exact(400 * scale)})" in said
    tables = [succeeds("eval", run, *code, "--episodes", "3"), succeeds("plot", run), succeeds("watch", run, "--once")]
    tables += [succeeds("plot", run, "--kind", "scores"), succeeds("runs", tmp_path, "--env", "Scaled")]
    tables += [succeeds("play", run, *code, "--no-render", "--episodes", "2")]
    tables += [succeeds("play", run, *code, "--no-render", "--episode", "first,best")]
    for text in [said, *tables]:
        assert not re.search(r"return -?0(?:\.0+)?(?![\d.])", text), text
        assert any(0.3 * 8 * scale < abs(float(n)) < 501 * scale for n in NUMBER.findall(text)), text
    assert number(sum(finals) / 2) in tables[4]  # the interquartile mean of two
    other = shutil.copytree(run, tmp_path / "other")
    compared = rlbench("compare", run, other).stdout.replace("−", "-")
    page = write_report([run], tmp_path / "page.html", video=False)
    html = page.path.read_text().replace("−", "-")
    for value in finals:
        assert f">{number(value)}<" in html
    (iqm,) = re.findall(r"IQM +(\S+ \[\S+, \S+\])", compared.partition("against")[0].replace("   ", "  "))[:1]
    assert iqm == interval(*page.findings.tables[0].agents[0].aggregates.iqm)


def test_seeds_beyond_what_floats_hold(tmp_path: Path) -> None:
    first = 2**53 + 1
    run = tmp_path / "run"
    seeds = [first, first + 1]
    said = succeeds(*CARTPOLE, "--set", "eval_every=60", "--set", f"seed={first}", "--out", run, "--progress", "plain")
    assert said
    page = write_report([run], tmp_path / "page.html", video=False)
    html = page.path.read_text()
    cells = re.findall(r"<tr><td[^>]*>(\d{16})</td>", html)
    assert cells == [str(seed) for seed in seeds]
    assert re.findall(r'<tr><td data-v="(\d+)"', html) == ["0", "1"]  # sorted by what a browser's numbers hold
    assert f"{float(first):.0f}" not in html
    for text in (succeeds("eval", run, "--episodes", "1"), succeeds("verify", run), succeeds("watch", run, "--once")):
        assert all(str(seed)[-7:] in text for seed in seeds), text
    content = json.loads(succeeds("eval", run, "--episodes", "1", "--json"))
    assert list(content["seeds"]) == [str(seed) for seed in seeds]
    compared = rlbench("compare", run, run, "--json").stdout
    assert json.loads(compared)["seeds"]["run (1)"]["CartPole-v1"] == seeds


def test_the_panel_shows_the_end_of_a_long_seed() -> None:
    assert _seed_name(7, plain=False) == "seed 7"
    assert _seed_name(12345678, plain=False) == "12345678"
    assert _seed_name(2**53 + 1, plain=False) == "…4740993"
    assert _seed_name(2**53 + 1, plain=True) == "..740993"
    assert len(_seed_name(2**62, plain=False)) == LABEL - 1


def test_of_many_seeds_the_ends_are_told() -> None:
    assert of_seeds([1.0, None, 3.5]) == "seeds: 1 - 3.5"
    assert of_seeds([7.0] * MOST_SEEDS) == "seeds: " + " ".join(["7"] * MOST_SEEDS)
    many = [float("nan"), -20.0, *range(98), None]
    assert of_seeds(many) == "99 seeds: -20 to 97, each in summary.json"


def test_no_other_module_formats_a_return() -> None:
    """What is named like a return, and has a format of its own, would read as 0.00 where rewards are small."""
    own = re.compile(
        r"\{[^{}]*(?:return|score|reward|mean|iqm|threshold|solved_at|level|total)[^{}]*:[+,]*\.?\d*[fg]\}"
    )
    files = [*Path(numbers.__file__).parent.rglob("*.py"), Path(results.__file__)]
    found = [
        f"{file.name}: {line.strip()}" for file in files for line in file.read_text().splitlines() if own.search(line)
    ]
    assert [line for line in found if "10g" not in line] == []  # the record has all digits
    assert own.search('f"return {entry.episode_return:.1f}"')


def test_nothing_heavy_is_needed_to_format() -> None:
    assert {name for name in vars(numbers) if not name.startswith("_")} >= {"number", "numbers", "exact", "interval"}
    assert "numpy" not in vars(numbers)
