"""What is computed together, and how long one waits for others."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from rlbench.service.batching import Batcher


class Recorded:
    """Answers with its number in the batch, and keeps the batches."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def __call__(self, asked: Sequence[str]) -> list[str]:
        self.batches.append(list(asked))
        return [f"{one}!" for one in asked]


def test_those_of_one_moment_are_one_batch() -> None:
    compute = Recorded()

    async def ask() -> list[str]:
        batcher: Batcher[str, str] = Batcher(compute, most=10, wait=1.0)
        return await asyncio.gather(*(batcher.ask(letter, 1) for letter in "abcd"))

    assert asyncio.run(ask()) == ["a!", "b!", "c!", "d!"]
    assert compute.batches == [["a", "b", "c", "d"]]


def test_a_full_batch_is_computed_at_once() -> None:
    compute = Recorded()

    async def ask() -> None:
        batcher: Batcher[str, str] = Batcher(compute, most=3, wait=1.0)
        futures = [batcher.ask(letter, 1) for letter in "abcdefg"]
        assert [future.done() for future in futures] == [True] * 6 + [False]
        futures.append(batcher.ask("many", 5))
        assert all(future.done() for future in futures)
        await asyncio.gather(*futures)

    asyncio.run(ask())
    assert compute.batches == [["a", "b", "c"], ["d", "e", "f"], ["g", "many"]]


def test_one_alone_hardly_waits() -> None:
    async def ask() -> float:
        batcher: Batcher[str, str] = Batcher(Recorded(), most=10, wait=5.0)
        began = time.monotonic()
        await batcher.ask("a", 1)
        return time.monotonic() - began

    assert asyncio.run(ask()) < 1.0


def test_while_others_keep_coming_the_first_waits_no_longer_than_it_may() -> None:
    compute = Recorded()

    async def ask() -> float:
        batcher: Batcher[str, str] = Batcher(compute, most=10**9, wait=0.05)
        first = batcher.ask("first", 1)
        began = time.monotonic()
        others = []
        while not first.done() and time.monotonic() - began < 5:
            others.append(batcher.ask("more", 1))
            await asyncio.sleep(0)
        waited = time.monotonic() - began
        await asyncio.gather(*others)
        return waited

    assert 0.045 < asyncio.run(ask()) < 2.5
    assert len(compute.batches[0]) > 10


def test_those_who_come_in_the_next_turns_still_belong() -> None:
    compute = Recorded()

    async def ask() -> None:
        batcher: Batcher[str, str] = Batcher(compute, most=10, wait=1.0)

        async def later(turns: int, letter: str) -> str:
            for _ in range(turns):
                await asyncio.sleep(0)
            return await batcher.ask(letter, 1)

        await asyncio.gather(later(0, "a"), later(1, "b"), later(2, "c"), later(20, "z"))

    asyncio.run(ask())
    assert compute.batches == [["a", "b", "c"], ["z"]]


def test_an_error_reaches_all_and_a_client_that_left_nobody() -> None:
    def fails(asked: Sequence[str]) -> list[str]:
        raise ValueError("no")

    async def ask() -> list[object]:
        batcher: Batcher[str, str] = Batcher(fails, most=10, wait=1.0)
        futures = [batcher.ask(letter, 1) for letter in "abc"]
        futures[1].cancel()
        return list(await asyncio.gather(*futures, return_exceptions=True))

    first, second, third = asyncio.run(ask())
    assert isinstance(first, ValueError)
    assert isinstance(second, asyncio.CancelledError)
    assert isinstance(third, ValueError)


def test_after_an_error_the_next_are_answered() -> None:
    fail = True

    def sometimes(asked: Sequence[str]) -> list[str]:
        if fail:
            raise ValueError("no")
        return list(asked)

    async def ask() -> str:
        nonlocal fail
        batcher: Batcher[str, str] = Batcher(sometimes, most=10, wait=1.0)
        with pytest.raises(ValueError, match="no"):
            await batcher.ask("a", 1)
        fail = False
        return await batcher.ask("b", 1)

    assert asyncio.run(ask()) == "b"
