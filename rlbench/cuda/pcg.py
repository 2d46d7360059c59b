"""NumPy's `SeedSequence` and `PCG64` for many seeds at once, as integer arithmetic over arrays, to the bit.

A thousand generators made one by one cost the host ten milliseconds, and their numbers would have to travel to a card.
Here all of them are seeded by a few hundred operations on whole arrays, and the numbers come into being where they are
wanted: number i of a generator needs none of those before it, since i steps of a linear congruential generator are one.

Sources: O'Neill 2014, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms for Random Number
Generation" (PCG XSL RR 128/64, the setseq variant), and NumPy's documentation of `numpy.random.SeedSequence`, whose
hash is O'Neill's seed_seq_fe128.
"""

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .feed import sent

_POOL = 4  # 32-bit words of a seed sequence's pool
_INIT_A, _MULT_A = 0x43B0D7E5, 0x931E8875
_INIT_B, _MULT_B = 0x8B51F9DD, 0x58F38DED
_MIX_L, _MIX_R = 0xCA01F9DD, 0x4973F715
_SHIFT = np.uint32(16)
_MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
_MASK64, _MASK128 = 2**64 - 1, 2**128 - 1
_LOW = 0xFFFFFFFF
_BITS53 = 2.0**-53


def words_of(*numbers: int) -> list[int]:
    """``numbers`` as a seed sequence takes them, each as its 32-bit words, the lowest first."""
    words: list[int] = []
    for number in numbers:
        words.append(number & _LOW)
        while number := number >> 32:
            words.append(number & _LOW)
    return words


def spawned(seed: int, *key: int) -> list[int]:
    """The words that ``SeedSequence(seed, spawn_key=key)`` is hashed from."""
    own = words_of(seed)
    return own + [0] * (_POOL - len(own)) + words_of(*key) if key else own


def generate_state(words: np.ndarray, count: int) -> np.ndarray:
    """``SeedSequence(...).generate_state(count)`` of n sequences.

    Args:
        words: (n, w) of 32 bits each, as `spawned` gives them for one; all sequences have as many.
        count: words wanted of each.

    Returns:
        (n, count) uint32.
    """
    with np.errstate(over="ignore"):
        return _words(_pool(words.astype(np.uint32)), count)


def _pool(words: np.ndarray) -> np.ndarray:
    """The mixed entropy, (n, _POOL)."""
    n, w = words.shape
    multiplier = _INIT_A
    pool = np.zeros((n, _POOL), np.uint32)

    def hashed(value: np.ndarray) -> np.ndarray:
        nonlocal multiplier
        value = value ^ np.uint32(multiplier)
        multiplier = multiplier * _MULT_A & _LOW
        value = value * np.uint32(multiplier)
        return value ^ value >> _SHIFT

    def mixed(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        value: np.ndarray = x * np.uint32(_MIX_L) - y * np.uint32(_MIX_R)
        return value ^ value >> _SHIFT

    nothing: np.ndarray = np.zeros(n, np.uint32)
    for i in range(_POOL):
        pool[:, i] = hashed(words[:, i] if i < w else nothing)
    for source in range(_POOL):
        for target in range(_POOL):
            if source != target:
                pool[:, target] = mixed(pool[:, target], hashed(pool[:, source]))
    for source in range(_POOL, w):
        for target in range(_POOL):
            pool[:, target] = mixed(pool[:, target], hashed(words[:, source]))
    return pool


def _words(pool: np.ndarray, count: int) -> np.ndarray:
    """What a pool gives, (n, count)."""
    multiplier = _INIT_B
    found: np.ndarray = np.empty((len(pool), count), np.uint32)
    for i in range(count):
        value: np.ndarray = pool[:, i % _POOL] ^ np.uint32(multiplier)
        multiplier = multiplier * _MULT_B & _LOW
        value = value * np.uint32(multiplier)
        found[:, i] = value ^ value >> _SHIFT
    return found


def seeded(words: np.ndarray) -> np.ndarray:
    """What ``PCG64(SeedSequence(...))`` begins with, for n sequences.

    Args:
        words: as for `generate_state`.

    Returns:
        (n, 4) uint64: the high and the low half of the state, and of the increment.
    """
    halves = generate_state(words, 8).astype(np.uint64).reshape(-1, 4, 2)
    high, low, sequence_high, sequence_low = (halves[..., 0] | halves[..., 1] << np.uint64(32)).T
    one, top = np.uint64(1), np.uint64(63)
    increment = (sequence_high << one | sequence_low >> top, sequence_low << one | one)
    with np.errstate(over="ignore"):  # the state is increment + initial, times the multiplier, plus the increment
        state = _plus(increment, (high, low))
        state = _plus(_times(state, (np.uint64(_MULTIPLIER >> 64), np.uint64(_MULTIPLIER & _MASK64))), increment)
    return np.stack([*state, *increment], 1)


Pair = tuple[Any, Any]  # arrays or numbers of uint64: the high and the low half of 128 bits


def _plus(a: Pair, b: Pair) -> Pair:
    low = a[1] + b[1]
    return a[0] + b[0] + (low < b[1]), low


def _times(a: Pair, b: Pair) -> Pair:
    """The product, modulo 2**128."""
    half, mask = np.uint64(32), np.uint64(_LOW)
    a1, a0, b1, b0 = a[1] >> half, a[1] & mask, b[1] >> half, b[1] & mask
    middle = a1 * b0 + (a0 * b0 >> half)
    other = a0 * b1 + (middle & mask)
    return a[0] * b[1] + a[1] * b[0] + a1 * b1 + (middle >> half) + (other >> half), a[1] * b[1]


@functools.cache
def _jumps(count: int) -> np.ndarray:
    """(count, 4) uint64: what takes a generator 1, 2, ... ``count`` steps ahead, state -> factor * state + sum *
    increment; the halves of the factor and of the sum."""
    rows, factor, total = [], 1, 0
    for _ in range(count):
        factor, total = factor * _MULTIPLIER & _MASK128, (total * _MULTIPLIER + 1) & _MASK128
        rows.append((factor >> 64, factor & _MASK64, total >> 64, total & _MASK64))
    return np.array(rows, np.uint64)


def uniform(states: np.ndarray, count: int) -> np.ndarray:
    """The first ``count`` numbers of ``Generator(PCG64(...)).random()`` of n generators, (n, count) float64.

    Args:
        states: from `seeded`.
        count: of numbers.
    """
    return _doubles(uint64(states, count))


def uint64(states: np.ndarray, count: int) -> np.ndarray:
    """As `uniform`, the 64 bits that each number is made from, (n, count)."""
    high, low, step_high, step_low = (states[:, i : i + 1] for i in range(4))
    factor_high, factor_low, sum_high, sum_low = _jumps(count).T
    with np.errstate(over="ignore"):
        moved = _times((high, low), (factor_high, factor_low))
        h, x = _plus(moved, _times((step_high, step_low), (sum_high, sum_low)))
    turn, x = h >> np.uint64(58), h ^ x
    return x >> turn | x << (np.uint64(64) - turn & np.uint64(63))


def _doubles(bits: np.ndarray) -> np.ndarray:
    return (bits >> np.uint64(11)).astype(np.float64) * _BITS53


def uniform_on(device: torch.device, states: np.ndarray, count: int) -> Tensor:
    """As `uniform`, made on ``device``: (n, count) float64, the same bits there."""
    jumps = _device_jumps(count, device)
    high, low, step_high, step_low = sent(states.view(np.int64), device).T.unsqueeze(-1).unbind()
    moved = _times_on(high, low, jumps[0], jumps[1])
    h, x = _plus_on(*moved, *_times_on(step_high, step_low, jumps[2], jumps[3]))
    turn = _right(h, 58)
    x = h ^ x
    x = _right_by(x, turn) | x << (64 - turn & 63)
    return _right(x, 11).double() * _BITS53


@functools.lru_cache(8)
def _device_jumps(count: int, device: torch.device) -> Tensor:
    """`_jumps` on a device, (4, count) int64."""
    return sent(np.ascontiguousarray(_jumps(count).T).view(np.int64), device)


def _right(x: Tensor, by: int) -> Tensor:
    """``x`` shifted to the right, as if it had no sign."""
    return x >> by & (1 << 64 - by) - 1


def _right_by(x: Tensor, by: Tensor) -> Tensor:
    """Likewise, by 0 to 63 places each."""
    return torch.where(by == 0, x, (x >> 1 & 2**63 - 1) >> (by - 1).clamp(min=0))


def _plus_on(high: Tensor, low: Tensor, other_high: Tensor, other_low: Tensor) -> tuple[Tensor, Tensor]:
    total = low + other_low
    least = torch.iinfo(torch.int64).min  # comparing with another sign is comparing without one
    return high + other_high + ((total ^ least) < (other_low ^ least)), total


def _times_on(high: Tensor, low: Tensor, other_high: Tensor, other_low: Tensor) -> tuple[Tensor, Tensor]:
    """`_times` where there are no numbers without a sign; products wrap around."""
    a1, a0, b1, b0 = _right(low, 32), low & _LOW, _right(other_low, 32), other_low & _LOW
    middle = a1 * b0 + _right(a0 * b0, 32)
    other = a0 * b1 + (middle & _LOW)
    top = high * other_low + low * other_high + a1 * b1 + _right(middle, 32) + _right(other, 32)
    return top, low * other_low
