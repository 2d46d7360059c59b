"""Runs through `torch.compile`: close to those that are not, exact when they go on, refused without a compiler."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from test_promises import assert_same, opened, recipe

import rlbench
from rlbench.errors import UsageError
from rlbench.nn import kernels
from rlbench.optim import Adam
from rlbench.recipe.device import check_compiler
from rlbench.training import train as training

KEYS: dict[str, Any] = {"seeds": 2, "total_steps": 400, "eval_every": 0, "final_eval_episodes": 1}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")
def test_a_compiled_run_learns_as_the_plain_one_and_goes_on_exactly(tmp_path: Path) -> None:
    """The weights of few updates differ in rounding alone."""
    few = {**KEYS, "total_steps": 60, "hyper": {"learning_rate_end": 1e-4}}
    hyper = few.pop("hyper")
    plain = rlbench.train(recipe=recipe(hyper=hyper, **few), out=tmp_path / "plain").folder
    made = rlbench.train(recipe=recipe(hyper=hyper, **few, compile=True), out=tmp_path / "made").folder
    ours, theirs = (opened(folder)["agent"] for folder in (made, plain))
    assert ours["updates"] == theirs["updates"] > 5
    for name, x in ours["q_net"].items():
        torch.testing.assert_close(x, theirs["q_net"][name], atol=1e-4, rtol=1e-3)
    assert '"width": "none"' in (made / "run.json").read_text()
    whole = rlbench.train(recipe=recipe(**KEYS, compile=True), out=tmp_path / "whole").folder
    half = rlbench.train(recipe=recipe(**{**KEYS, "total_steps": 200}, compile=True), out=tmp_path / "half").folder
    done = training.resume(half, total_steps=400)
    assert_same(opened(done.folder)["agent"], opened(whole)["agent"])
    assert rlbench.evaluate(whole, 2).shape == (2, 2)


def test_a_step_of_adam_to_be_compiled_is_adams() -> None:
    draw = torch.Generator().manual_seed(0)
    ours, theirs = (torch.full((2, 64), 0.5) for _ in range(2))
    adam = Adam(theirs, 1e-2)
    first, second = torch.zeros(2, 64), torch.zeros(2, 64)
    for t in range(1, 20):
        grad = torch.randn(2, 64, generator=draw)
        adam.step(grad)
        kernels.adam_step_to_compile(
            ours, grad, first, second, torch.tensor(float(t)), learning_rate=1e-2, betas=(0.9, 0.999), epsilon=1e-8
        )
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_without_a_compiler_it_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match=r"--compile needs a C\+\+ compiler.*begin a run without --compile"):
        rlbench.train(recipe=recipe(**KEYS, compile=True), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="--compile needs Triton"):
        check_compiler(torch.device("cuda"))
