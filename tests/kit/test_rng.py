"""Tests of rlbench.rng: a stream is one fixed sequence, however, beside whomever and from wherever it is read."""

import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from cards import never_waiting
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rlbench import rng
from rlbench.cuda import feed
from rlbench.rng import BLOCK, EPISODES, Stream, Streams, episode_seed, episode_seeds, generator, seeded_torch

LENGTH = 3 * BLOCK
WHOLE = Stream([3, 8], "x").uniform(LENGTH).clone()
POSITIONS = st.one_of(st.integers(0, LENGTH - 1), st.sampled_from([0, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK]))

EPISODE_SEEDS = [2064252654, 172656630, 1215527687]
LAST_EPISODE_SEED = 894760385
UNIFORMS = [
    [0.9554655891352392, 0.13594691737793518, 0.04611229453270438],
    [0.04642465546041086, 0.963140117141259, 0.9927627783408796],
]
GENERATED = [3579251237697452616, 3440976892803676823]


def drawn(stream: Stream, sizes: list[int]) -> Tensor:
    return torch.cat([stream.uniform(n).clone() for n in sizes], 1)


@given(st.lists(st.one_of(st.integers(0, 70), st.sampled_from([BLOCK - 1, BLOCK, BLOCK + 1, 5000])), max_size=40))
def test_numbers_do_not_depend_on_how_many_are_drawn_at_a_time(sizes: list[int]) -> None:
    while sum(sizes) > LENGTH:
        sizes.pop()
    stream = Stream([3, 8], "x")
    assert torch.equal(drawn(stream, [0, *sizes]), WHOLE[:, : sum(sizes)])
    assert stream.position == sum(sizes)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30))
def test_normals_do_not_depend_on_it_either(sizes: list[int]) -> None:
    whole = Stream([3, 8], "x").normal(sum(sizes))
    stream = Stream([3, 8], "x")
    assert torch.equal(torch.cat([stream.normal(n) for n in sizes], 1), whole)
    assert torch.equal(Stream([8], "x").normal(sum(sizes))[0], whole[1])


@given(st.lists(st.sampled_from(["uniform", "3", "7", "position"]), max_size=30), st.integers(1, 1500))
def test_integers_are_the_uniforms_scaled_whatever_was_drawn_before(calls: list[str], n: int) -> None:
    """Integers of a bound that comes twice are prepared a block at a time, which must not show."""
    stream = Stream([3, 8], "x")
    for call in calls:
        if stream.position + n > LENGTH or call == "position":
            stream.position = (stream.position * 7 + 11) % (LENGTH - n)
        here = WHOLE[:, stream.position : stream.position + n]
        if call in ("3", "7"):
            assert torch.equal(stream.integers(n, int(call)), (here * int(call)).long())
        else:
            assert torch.equal(stream.uniform(n), here)


def test_earlier_draws_stay_what_they_were() -> None:
    stream = Stream([3, 8], "x")
    views = [stream.uniform(1500) for _ in range(8)]  # kept across refills
    assert torch.equal(torch.cat(views, 1), WHOLE[:, :12000])


@pytest.mark.parametrize("seeds", [[3], [0, 3, 8], [8, 3], [*range(9)], [2**40, 3, 2**63 - 1]])
def test_a_seeds_numbers_do_not_depend_on_its_neighbours(seeds: list[int]) -> None:
    stream = Stream(seeds, "x")
    assert torch.equal(drawn(stream, [100, BLOCK, 7])[seeds.index(3)], WHOLE[0, : BLOCK + 107])


@given(POSITIONS, POSITIONS, st.integers(1, 2 * BLOCK))
def test_the_position_is_the_whole_state(before: int, goal: int, n: int) -> None:
    """Wherever a stream has been, it goes on from the position given: forwards, backwards, at the edges of blocks."""
    streams = Streams([3, 8])
    streams["x"].uniform(before)
    streams.load_state_dict({"x": goal})
    n = min(n, LENGTH - goal)
    assert torch.equal(drawn(streams["x"], [1] * min(n, 3) + [n - min(n, 3)]), WHOLE[:, goal : goal + n])


def test_the_state_goes_through_a_fresh_set_of_streams() -> None:
    old = Streams([3, 8])
    old["x"].uniform(10)
    old["y"].normal(BLOCK)
    state = old.state_dict()
    assert state == {"x": 10, "y": BLOCK}
    new = Streams([3, 8])
    new.load_state_dict(state)
    assert torch.equal(new["x"].uniform(5000), old["x"].uniform(5000))
    assert torch.equal(new["y"].normal(50), old["y"].normal(50))
    assert new.state_dict() == old.state_dict()


def test_streams_differ_by_name_and_by_seed() -> None:
    streams = Streams([0, 1, 2])
    rows = [row for name in ("init", "explore", "replay") for row in streams[name].uniform(2 * BLOCK)]
    rows += list(Streams([0])["init"].uniform(4 * BLOCK)[:, 2 * BLOCK :])  # a later part of the same one
    for i, row in enumerate(rows):
        assert len(set(row.tolist())) == 2 * BLOCK  # and no block repeats another
        for other in rows[:i]:
            assert abs(torch.corrcoef(torch.stack((row, other)))[0, 1]) < 0.05


def test_uniform_numbers_are_uniform() -> None:
    assert WHOLE.dtype == torch.float64
    assert WHOLE.min() >= 0
    assert WHOLE.max() < 1
    counts = torch.histc(WHOLE, 20, 0, 1)
    expected = WHOLE.numel() / 20
    assert ((counts - expected) ** 2 / expected).sum() < 43.8  # chi-square, 19 degrees of freedom, p = 0.001


def test_integers_cover_their_range_and_nothing_more() -> None:
    stream = Streams([0, 1])["x"]
    for high in (1, 2, 7, 1000):
        values = stream.integers(20_000, high)
        assert values.dtype == torch.int64
        assert values.shape == (2, 20_000)
        assert set(values.unique().tolist()) == set(range(high))
    seven = torch.bincount(stream.integers(35_000, 7).flatten())
    assert ((seven - 10_000) ** 2 / 10_000).sum() < 22.5  # 6 degrees of freedom, p = 0.001


def test_integers_stay_below_high_at_the_very_top_of_the_unit_interval() -> None:
    stream = Stream([0], "x")
    stream.uniform(1)
    stream._block.fill_(1 - 2.0**-53)  # the largest number that uniform gives
    for high in (3, 7, 1000, 50_000, 2**31 - 1, 10**12 + 1):
        assert stream.integers(1, high).item() == high - 1
    assert torch.isfinite(stream.normal(1)).all()
    stream._block.fill_(0.0)
    assert torch.isfinite(stream.normal(1)).all()


def test_normals_have_the_moments_of_the_standard_normal() -> None:
    x = Streams([5])["x"].normal(100_000)
    assert x.dtype == torch.float32
    assert abs(x.mean()) < 0.01
    assert abs(x.std() - 1) < 0.01
    assert abs((x**3).mean()) < 0.05
    assert abs((x**4).mean() - 3) < 0.15
    assert abs((x < 1.6448536).double().mean() - 0.95) < 0.003


def test_episode_seeds_are_31_bits_and_rarely_meet() -> None:
    seeds = [
        episode_seed(s, name, e, i) for s in range(5) for name in ("env", "eval") for e in range(5) for i in range(40)
    ]
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert max(seeds) > 2**30
    assert len(set(seeds)) >= len(seeds) - 1


def test_derivations_are_those_of_the_journals_already_written() -> None:
    """A change here makes every recorded episode and every checkpoint mean something else. Do not adapt the numbers."""
    assert [episode_seed(0, "env", 0, 0), episode_seed(0, "env", 0, 1), episode_seed(7, "eval", 2, 5)] == EPISODE_SEEDS
    assert episode_seed(2**63 - 1, "env", 3, 1_000_000) == LAST_EPISODE_SEED
    assert WHOLE[:, [0, BLOCK, -1]].tolist() == UNIFORMS
    assert generator(3, "learner").integers(0, 2**62, 2).tolist() == GENERATED


def test_episode_seeds_of_many_copies_are_those_of_each() -> None:
    seeds, envs, blocks = (
        [0, 7, 2**63 - 1, 2**32, 7],
        np.array([0, 2, 3, 1, 70_000]),
        np.array([0, 5, 31_250, 1, 2**31]),
    )
    many = episode_seeds(seeds, "env", envs, blocks)
    for row, seed, env, block in zip(many.tolist(), seeds, envs.tolist(), blocks.tolist(), strict=True):
        assert row == [episode_seed(seed, "env", env, EPISODES * block + k) for k in range(EPISODES)]


def test_generator_is_its_own_for_every_seed_and_name() -> None:
    firsts = {generator(seed, name).random() for seed in range(3) for name in ("a", "b")}
    assert len(firsts) == 6
    assert generator(1, "a").random() in firsts


def test_no_global_generator_is_touched() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    streams = Streams([0, 1])
    streams["x"].normal(10)
    first = streams["x"].integers(10, 5)
    generator(0, "x").random()
    episode_seed(0, "env", 1, 0)
    after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    torch.manual_seed(2)  # and none of them matters
    again = Streams([0, 1])
    again["x"].normal(10)
    assert torch.equal(again["x"].integers(10, 5), first)


def layer(rng: np.random.Generator) -> Tensor:
    with seeded_torch(rng):
        return torch.nn.Linear(3, 2).weight.detach()


def test_torch_draws_by_a_generator_and_its_own_stays_where_it_was() -> None:
    torch.manual_seed(1)
    torch.randn(1)  # of a pair, whose second half is kept for the next one
    before = torch.get_rng_state()
    rng = generator(0, "learner")
    first, second = layer(rng), layer(rng)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)  # and it does not matter
    again = generator(0, "learner")
    assert torch.equal(layer(again), first)
    assert torch.equal(layer(again), second)
    assert again.bit_generator.state == rng.bit_generator.state
    assert not torch.equal(first, second)
    assert not torch.equal(layer(generator(1, "learner")), first)


def test_torchs_generator_is_restored_where_something_raises_and_from_within() -> None:
    torch.manual_seed(1)
    before, rng = torch.get_rng_state(), generator(0, "learner")

    def breaks() -> None:
        with seeded_torch(rng):
            torch.rand(3)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        breaks()
    assert torch.equal(before, torch.get_rng_state())
    with seeded_torch(generator(3, "x")):
        whole = torch.rand(4)
    with seeded_torch(rng := generator(3, "x")):
        half = torch.rand(2)
        with seeded_torch(rng):
            torch.rand(9)
        rest = torch.rand(2)
    assert torch.equal(torch.cat([half, rest]), whole)


def test_the_names_that_are_told_are_those_in_use() -> None:
    root = Path(__file__).resolve().parents[2]
    files = [path for folder in ("agents", "rlbench") for path in (root / folder).rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files if path.name != "rng.py")
    used = {name for inside in re.findall(r"streams\[([^\]]+)\]", text) for name in re.findall(r'"(\w+)"', inside)}
    told = re.search(r"Names in use: ([\w, ]+)\.", Streams.__doc__ or "")
    assert told is not None
    assert set(told[1].split(", ")) == used


@given(st.lists(st.integers(1, 40), min_size=1, max_size=10))
def test_normals_of_any_shape_are_the_same_in_a_row(shape: list[int]) -> None:
    shape = shape[:3]
    n = int(np.prod(shape))
    assert torch.equal(Stream([3, 8], "x").normal(*shape), Stream([3, 8], "x").normal(n).view(2, *shape))


@pytest.mark.parametrize("n", [1, 2, 7, 33, 1000, BLOCK + 3])
def test_permutations_are_each_seeds_own(n: int) -> None:
    stream = Stream([3, 8, 5], "x")
    first, second = stream.permutation(n), stream.permutation(n)
    assert stream.position == 2 * n
    for order in (first, second):
        assert order.dtype == torch.int64
        assert order.sort(1)[0].tolist() == [list(range(n))] * 3
    if n > 30:
        assert len({tuple(row.tolist()) for row in (*first, *second)}) == 6
    assert torch.equal(Stream([8], "x").permutation(n)[0], first[1])
    stream.position = n
    assert torch.equal(stream.permutation(n), second)


def test_every_order_is_as_likely() -> None:
    stream = Stream([3], "x")
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(12_000):
        order = tuple(stream.permutation(3)[0].tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6
    assert sum((n - 2000) ** 2 / 2000 for n in counts.values()) < 20.5  # 5 degrees of freedom, p = 0.001


def test_categorical_draws_with_the_chances_given() -> None:
    weights = torch.tensor([[1.0, 0.0, 2.0, 5.0, 0.0], [0.0, 3.0, 3.0, 0.0, 2.0]]).unsqueeze(1)  # (S, 1, A)
    stream = Stream([3, 8], "x")
    drawn = stream.categorical(weights.expand(2, 16_000, 5))
    assert (drawn.shape, drawn.dtype, stream.position) == ((2, 16_000), torch.int64, 16_000)
    for row, weight in zip(drawn, weights[:, 0], strict=True):
        counts, expected = torch.bincount(row, minlength=5), 2000 * weight
        assert not counts[weight == 0].any()
        assert ((counts - expected)[weight > 0] ** 2 / expected[weight > 0]).sum() < 13.8  # 2 degrees, p = 0.001


@pytest.mark.parametrize("size", [1, 3, 7, 33])
@pytest.mark.parametrize("choices", [1, 2, 5, 17, 33])
def test_categorical_keeps_width(size: int, choices: int) -> None:
    seeds = [3, 8, 5]
    weights = Stream(seeds, "w").uniform(size * choices).view(3, size, choices).float() ** 4
    together = Stream(seeds, "x").categorical(weights)
    for s, seed in enumerate(seeds):
        assert torch.equal(Stream([seed], "x").categorical(weights[s : s + 1])[0], together[s])


def test_categorical_never_draws_what_has_no_chance_at_either_end_of_the_unit_interval() -> None:
    for u in (0.0, 1 - 2.0**-53):
        for total in (1.0, 0.3, 3e-30, 7e20, 1 + 2.0**-23):
            stream = Stream([0], "x")
            stream.uniform(1)
            stream._block.fill_(u)
            weights = torch.tensor([[[0.0, 0.0, total / 3, total / 3, total / 3, 0.0, 0.0]]])
            assert stream.categorical(weights).item() == (2 if u == 0 else 4)


@pytest.fixture
def on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers are made as on a device, which is the CPU."""
    monkeypatch.setattr(feed, "HERE", "elsewhere")


WEIGHTS = torch.tensor([0.1, 0.0, 2.0, 0.7])
DRAWS: dict[str, Callable[[Stream], Tensor]] = {
    "uniform": lambda s: s.uniform(700),
    "host": lambda s: torch.from_numpy(s.host(33).copy()),
    "integers": lambda s: s.integers(1000, 7),
    "normal": lambda s: s.normal(5, 300),
    "permutation": lambda s: s.permutation(2 * BLOCK + 5),
    "categorical": lambda s: s.categorical(WEIGHTS.expand(len(s.seeds), 40, 4)),
}


@given(st.lists(st.tuples(st.sampled_from(list(DRAWS)), st.integers(0, 3 * BLOCK)), max_size=8), st.booleans())
@settings(max_examples=25)
def test_a_device_makes_the_same_numbers_in_any_order(draws: list[tuple[str, int]], moving: bool) -> None:
    seeds = [3, 2**40 + 1, 0]
    there, here = Stream(seeds, "x"), Stream(seeds, "x")
    there._away = True
    for name, position in draws:
        if moving and position % 3:
            there.position = here.position = position
        assert torch.equal(DRAWS[name](there), DRAWS[name](here)), name
        assert there.position == here.position


def test_a_side_that_nobody_asks_costs_nothing(on_a_device: None) -> None:
    there = Stream([3, 8], "x")
    with never_waiting():
        for draw in ("uniform", "integers", "permutation", "normal", "categorical"):
            DRAWS[draw](there)
    assert there._host.shape == (2, 0)
    only = Stream([3, 8], "x")
    only.host(10)
    assert only._there.shape == (2, 0)


def test_many_seeds_are_made_a_part_at_a_time(on_a_device: None, monkeypatch: pytest.MonkeyPatch) -> None:
    want = Stream(range(5), "x").uniform(3).clone()
    monkeypatch.setattr(rng, "AT_ONCE", 2)
    assert torch.equal(Stream(range(5), "x").uniform(3), want)


def test_numbers_of_equal_size_keep_their_order_in_a_permutation() -> None:
    u = np.random.default_rng(0).integers(0, 9, (4, 300)) / 9
    assert torch.from_numpy(u).argsort(dim=1, stable=True).tolist() == u.argsort(1, kind="stable").tolist()
