"""Generators of many seeds at once are NumPy's, to the bit, on whatever device."""

import zlib

import numpy as np
import pytest
import torch

from rlbench.cuda import pcg

SEEDS = (0, 1, 5, 2**31 - 1, 2**32 - 1, 2**32, 2**40 + 3, 2**62 + 9)
KEYS: tuple[tuple[int, ...], ...] = ((), (3,), (zlib.crc32(b"replay"), 7), (1, 2, 3, 2**33))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_sequence_and_its_generator(seed: int, key: tuple[int, ...]) -> None:
    sequence = np.random.SeedSequence(seed, spawn_key=key)
    words = np.array([pcg.spawned(seed, *key)])
    assert pcg.generate_state(words, 9)[0].tolist() == sequence.generate_state(9).tolist()
    states = pcg.seeded(words)
    high, low, step_high, step_low = map(int, states[0])
    begun = np.random.PCG64(sequence).state["state"]
    assert {"state": high << 64 | low, "inc": step_high << 64 | step_low} == begun
    want = np.random.Generator(np.random.PCG64(sequence)).random(300)
    assert np.array_equal(pcg.uniform(states, 300)[0], want)
    assert np.array_equal(pcg.uniform_on(torch.device("cpu"), states, 300)[0].numpy(), want)


def test_many_at_once_are_each_as_alone() -> None:
    words = np.array([pcg.spawned(seed, 9) for seed in range(500)])
    states = pcg.seeded(words)
    alone = np.concatenate([pcg.seeded(row[None]) for row in words])
    assert np.array_equal(states, alone)
    numbers = pcg.uniform(states, 5)
    assert np.array_equal(numbers, np.concatenate([pcg.uniform(row[None], 5) for row in states]))
    assert len(np.unique(numbers)) == numbers.size


def test_the_bits_are_those_of_the_bit_generator() -> None:
    raw = np.random.PCG64(np.random.SeedSequence(7)).random_raw(100)
    assert np.array_equal(pcg.uint64(pcg.seeded(np.array([pcg.spawned(7)])), 100)[0], raw)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_card_makes_the_same_bits() -> None:
    states = pcg.seeded(np.array([pcg.spawned(seed, 4) for seed in range(64)]))
    assert np.array_equal(pcg.uniform_on(torch.device("cuda"), states, 4096).cpu().numpy(), pcg.uniform(states, 4096))
