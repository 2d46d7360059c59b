"""A law as straight-line code: the same bits as in torch, number by number, and as the kernel of a card."""

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rlbench.border.make import env_maker
from rlbench.worlds import card
from rlbench.worlds.card import Fused, source, world_on
from rlbench.worlds.known import IDS, world_of
from rlbench.worlds.straight import OneByOne, watched
from rlbench.worlds.world import World

LAWS = IDS[:4]
COMPILER = shutil.which("c++") or shutil.which("g++")
# What a card has of its own, for the host.
HOST = """
#include <cmath>
#include <cstring>
static double __longlong_as_double(unsigned long long x) { double y; std::memcpy(&y, &x, 8); return y; }
#define __dadd_rn(a, b) ((a) + (b))
#define __dsub_rn(a, b) ((a) - (b))
#define __dmul_rn(a, b) ((a) * (b))
#define __ddiv_rn(a, b) ((a) / (b))
#define __fadd_rn(a, b) ((a) + (b))
#define __fsub_rn(a, b) ((a) - (b))
#define __fmul_rn(a, b) ((a) * (b))
#define __fdiv_rn(a, b) ((a) / (b))
"""


def law_of(env_id: str) -> World:
    world = world_of(env_maker(env_id))
    assert world is not None
    return world


def actions(law: World, n: int, generator: torch.Generator) -> Tensor:
    if law.continuous:
        return torch.randn(n, 1, generator=generator) * 2
    return torch.randint(2, (n,), generator=generator)


@pytest.mark.parametrize("env_id", LAWS)
def test_number_by_number_the_bits_are_those_of_torch(env_id: str) -> None:
    law, generator = law_of(env_id), torch.Generator().manual_seed(0)
    one = OneByOne(watched(law.step, *law.example()))
    seen = OneByOne(watched(lambda state: [law.obs(state)], law.example()[0]))
    for seed in range(3):
        state = torch.from_numpy(law.starts(np.array([seed])).state)
        for _ in range(100):
            action = actions(law, 1, generator)
            *new, reward, terminated = one(*state[0].tolist(), action.item())
            state, paid, ended = law.step(state, action)
            assert np.array(new).tobytes() == state.numpy().tobytes()
            assert (reward, terminated) == (paid.item(), ended.item())
            assert np.array(seen(*new), np.float32).tobytes() == law.obs(state).numpy().tobytes()
            if terminated:
                break


def test_an_operation_that_has_no_form_is_an_error() -> None:
    x = torch.ones(3, dtype=torch.float64)
    for function in (lambda x: [x.sin()], lambda x: [x.sum(0)], lambda x: [torch.add(x, x, alpha=2)]):
        with pytest.raises(NotImplementedError):
            watched(function, x)


def test_constants_and_what_nobody_needs() -> None:
    x = torch.tensor([3.0, -0.0], dtype=torch.float64)

    def function(x: Tensor) -> list[Tensor]:
        x * 7.0  # of which nothing comes
        return [torch.stack((x, torch.tensor([0.0, -0.0], dtype=torch.float64))).abs(), x + x, x + x]

    straight = watched(function, x)
    assert [n.op for n in straight.numbers].count("mul") == 0
    assert [n.op for n in straight.numbers].count("add") == 2  # once each
    assert [n.op for n in straight.numbers].count("constant") == 2  # 0.0 is not -0.0
    assert OneByOne(straight)(3.0, -0.0) == [3.0, 0.0, 0.0, 0.0, 6.0, 0.0, 6.0, 0.0]


def compiled(code: str, outputs: int, folder: Path) -> Callable[..., list[Tensor]]:
    """What a card would make of ``code``, made by a compiler for the host."""
    inputs = code.count("T i")
    files = folder / f"law{len(list(folder.iterdir()))}"
    takes = [f"in[{k} * n + j]" for k in range(inputs)] + [f"out[{k} * n + j]" for k in range(outputs)]
    loop = f"for (long j = 0; j < n; ++j) law<double>({', '.join(takes)});"
    text = f'{HOST}{code}\nextern "C" void run(long n, const double* in, double* out) {{ {loop} }}\n'
    files.with_suffix(".cpp").write_text(text)
    how = ["-std=c++17", "-O1", "-ffp-contract=off", "-shared", "-fPIC"]
    subprocess.run([COMPILER, *how, "-o", files.with_suffix(".so"), files.with_suffix(".cpp")], check=True)
    library = ctypes.CDLL(str(files.with_suffix(".so")))

    def function(*tensors: Tensor) -> list[Tensor]:
        given = torch.stack([tensor.double() for tensor in tensors]).contiguous()  # as torch promotes them
        n = given.shape[1]
        found = torch.empty(outputs, n, dtype=torch.float64)
        pointer = ctypes.c_void_p
        library.run(ctypes.c_long(n), pointer(given.data_ptr()), pointer(found.data_ptr()))
        return list(found)

    return function


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
@pytest.mark.parametrize("env_id", LAWS)
def test_the_kernel_of_a_card_gives_the_same_bits_on_the_host(env_id: str, tmp_path: Path) -> None:
    law = law_of(env_id)
    fused = Fused(law, lambda code, outputs: compiled(code, outputs, tmp_path))
    assert card._same(fused, law)
    state = torch.from_numpy(law.starts(np.arange(500)).state)
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        action = actions(law, 500, generator)
        new, reward, terminated = fused.step(state, action)
        expected = law.step(state, action)
        assert torch.equal(new, expected[0])
        assert torch.equal(reward, expected[1])
        assert torch.equal(terminated, expected[2])
        assert torch.equal(fused.obs(new), law.obs(new))
        state = new


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
def test_a_kernel_that_gives_other_bits_is_found(tmp_path: Path) -> None:
    """As one whose compiler adds and multiplies at once: a last place is enough."""
    law = law_of("Pendulum-v1")

    def otherwise(code: str, outputs: int) -> Callable[..., list[Tensor]]:
        once = compiled(code.replace("__dadd_rn(", "0x1.0000000000001p0 * __dadd_rn(", 1), outputs, tmp_path)
        return once

    assert not card._same(Fused(law, otherwise), law)


def test_every_operation_of_a_kernel_rounds_once() -> None:
    """Nothing is left to the compiler to fuse: no plain operator stands between two numbers that are not whole."""
    for env_id in LAWS:
        straight = watched(law_of(env_id).step, *law_of(env_id).example())
        whole = {f"v{i}" for i, n in enumerate(straight.numbers) if n.dtype == torch.int64}
        for line in source(straight).splitlines()[1:-1]:
            for word in ("+", "*", "/"):
                left, found, _ = line.partition(f" {word} ")
                assert not found or left.split()[-1] in whole, line


def test_torch_can_read_the_kernel() -> None:
    for env_id in LAWS:
        law = law_of(env_id)
        made = card._jitted(source(watched(law.step, *law.example())), law.size + 2)
        assert made.kernel_name == "law"  # type: ignore[attr-defined]


def test_on_the_host_and_where_there_is_chance_nothing_is_fused() -> None:
    for env_id in IDS:
        assert type(world_on(law_of(env_id), torch.device("cpu"))) is type(law_of(env_id))


def test_where_a_kernel_cannot_be_made_the_law_in_torch_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    law = law_of("CartPole-v1")
    monkeypatch.setattr(World, "to", lambda self, device: self)  # as if there were a card
    for error in (RuntimeError, AttributeError, AssertionError):

        def fails(code: str, outputs: int, error: type[Exception] = error) -> Any:
            raise error

        monkeypatch.setattr(card, "_jitted", fails)
        assert world_on(law, torch.device("cuda")) is law


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("env_id", LAWS)
def test_on_a_card_a_step_is_one_kernel(env_id: str) -> None:
    law = law_of(env_id)
    there = world_on(law, torch.device("cuda"))
    assert type(there) is Fused
    state = torch.from_numpy(law.starts(np.arange(1000)).state)
    on_card, generator = state.cuda(), torch.Generator().manual_seed(0)
    for _ in range(20):
        action = actions(law, 1000, generator)
        state, reward, terminated = law.step(state, action)
        on_card, paid, ended = there.step(on_card, action.cuda())
        assert torch.equal(on_card.cpu(), state)
        assert torch.equal(paid.cpu(), reward)
        assert torch.equal(ended.cpu(), terminated)
        assert torch.equal(there.obs(on_card).cpu(), law.obs(state))
