"""Several cards, and cards that fail, with stand-ins for them: seeds are dealt out, mistakes and failures are told."""

import json
import re
import shlex
import shutil
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from command import CARTPOLE, TINY, assert_same_record, mistake, rlbench, succeeds
from conftest import slow
from test_promises import assert_same

import rlbench as package
from rlbench.cuda.failure import card_failure
from rlbench.errors import UsageError
from rlbench.recipe import Recipe, build, device, shares
from rlbench.runfolder import checkpoint_file

ONE, TWO = "cuda:0", "cuda:0,cuda:1"
MANY = ("train", "--env", "CartPole-v1", "--seeds", "3", *TINY[6:])


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cards, which compute as the CPU does. Workers are forked, and so they see them, too."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    real = device.resolve_device

    def pretended(name: str) -> torch.device:
        real(name)
        return torch.device("cpu")

    for module in (build, shares):
        monkeypatch.setattr(module, "resolve_device", pretended)


@pytest.mark.parametrize(
    ("keys", "want"),
    [
        ({"device": TWO}, [(0, 5, "cuda:0"), (5, 5, "cuda:1")]),
        ({"device": "cuda:1, cuda:0", "seeds": 3}, [(0, 1, "cuda:1"), (1, 2, "cuda:0")]),
        ({"device": TWO, "workers": 4}, [(0, 2, ONE), (2, 3, ONE), (5, 2, "cuda:1"), (7, 3, "cuda:1")]),
        ({"device": ONE, "workers": 2}, [(0, 5, ONE), (5, 5, ONE)]),
        ({"device": "auto"}, [(0, 10, "auto")]),
    ],
)
def test_seeds_are_dealt_out_to_cards_in_order(keys: dict[str, Any], want: list[Any]) -> None:
    parts = shares.shares(Recipe(env="CartPole-v1", **{"seeds": 10, **keys}))
    assert [(share.seed, share.seeds, share.device) for share in parts] == want
    assert {share.workers for share in parts} <= {0, 1}


def test_the_list_is_kept_in_a_recipe(tmp_path: Path) -> None:
    made = Recipe(env="CartPole-v1", device="cuda:1, cuda:00")
    assert made.device == "cuda:1,cuda:0"
    (tmp_path / "recipe.toml").write_text(made.replace(hyper={}).to_toml())
    assert Recipe.load(tmp_path / "recipe.toml").device == "cuda:1,cuda:0"
    assert Recipe.load(env="CartPole-v1", overrides=[f"device={TWO}"]).device == TWO


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--device", "cuda:0,cuda:0"), r"a card is named twice; several processes share one by --workers"),
        (("--device", "cpu,cuda:0"), r"several devices are cards, each by its number, as cuda:0,cuda:1, got 'cpu,cu"),
        (("--set", "device=cuda,cuda:1"), r"several devices are cards, each by its number"),
        (("--device", "cuda:0,"), r"must be auto, cpu, cuda or cuda:N; several cards"),
        (("--device", "cuda:0,cuda:7"), r"--device cuda:7: torch .* sees 2 CUDA devices\. Use cuda:0 to cuda:1, or"),
        (("--device", "cuda:7"), r"--device cuda:7: torch .* sees 2 CUDA devices\. Use cuda:0 to cuda:1, or --device"),
        (("--device", TWO, "--seeds", "1"), r"1 seeds cannot be dealt out to 2 cards\. Use fewer: --device cuda:0$"),
        (("--device", TWO, "--workers", "3"), r"3 processes cannot be dealt out evenly .*\. Use --workers 4\.$"),
    ],
)
def test_what_cannot_be_dealt_out(words: tuple[str, ...], said: str, two_cards: None, tmp_path: Path) -> None:
    assert re.search(said, mistake(*MANY, *words, "--out", tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_one_card_is_named_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match=r"cuda:1: torch .* sees 1 CUDA device\. Use cuda:0, or --device cpu"):
        device.resolve_device("cuda:1")
    assert device.resolve_device("cuda") == torch.device("cuda")


@pytest.mark.slow
def test_a_run_over_two_cards_and_where_it_goes_on(two_cards: None, tmp_path: Path) -> None:
    run, plain = tmp_path / "run", tmp_path / "plain"
    succeeds(*MANY, "--device", TWO, "--out", run)
    about = json.loads((run / "run.json").read_text())
    assert about["computed"] == [
        {"first_seed": 0, "seeds": 1, "device": "cpu", "name": "cpu"},
        {"first_seed": 1, "seeds": 2, "device": "cpu", "name": "cpu"},
    ]
    assert Recipe.load(run / "recipe.toml").device == TWO
    own = [Recipe.load(run / "workers" / k / "recipe.toml") for k in "01"]
    assert [(share.seed, share.seeds, share.device) for share in own] == [(0, 1, "cuda:0"), (1, 2, "cuda:1")]
    assert checkpoint_file.load(run / "checkpoint.pth", "checkpoint")["recipe"]["device"] == TWO

    succeeds(*MANY, "--device", "cpu", "--workers", "1", "--out", plain)
    assert_same_record(run, plain)
    one = "--device cuda:0,cuda:1: one device is wanted here; .* Use --device cuda:0"
    assert re.search(one, mistake("eval", run, "--device", TWO))
    assert re.search(one, mistake("play", run, "--no-render", "--device", TWO))
    with pytest.raises(UsageError, match=one):
        package.load(run, device=TWO)

    more = ("--progress", "none", "--total-steps")
    assert "more cards" not in mistake("train", "--resume", run, "--device", "cuda:0,cuda:1,cuda:2", *more, "160")
    shutil.copytree(run, tmp_path / "fewer")
    for place, where in ((run, ()), (tmp_path / "fewer", ("--device", ONE)), (plain, ())):
        succeeds("train", "--resume", place, *where, *more, "180")
    ends = [checkpoint_file.load(place / "checkpoint.pth", "checkpoint") for place in (run, tmp_path / "fewer", plain)]
    assert [end["recipe"]["device"] for end in ends] == [TWO, ONE, "cpu"]
    assert [end["env_steps"] for end in ends] == [180] * 3
    for end in ends[:2]:
        assert_same(end["agent"], ends[2]["agent"])
    assert Recipe.load(tmp_path / "fewer" / "recipe.toml").device == ONE


def test_a_run_of_fewer_processes_than_cards_is_told_so(two_cards: None, tmp_path: Path) -> None:
    succeeds(*CARTPOLE, "--out", tmp_path / "run")
    said = mistake("train", "--resume", tmp_path / "run", "--total-steps", "160", "--device", TWO)
    assert said.endswith("this run was begun with 1 process, which cannot be taken apart. Use --device cuda:0.")


#: Agents whose card fails at their 30th step, and from then on at whatever is asked of it.
FAILING = """
    import torch
    import rlbench

    class Fails(rlbench.Agent):
        replay = None
        def __init__(self, spec, config, streams):
            self.spec, self.n, self.weights, self.dead = spec, 0, torch.zeros(spec.num_seeds, 3), False
        def act(self, obs, *, explore):
            self.alive()
            self.n += explore
            return torch.zeros(obs.shape[:2], dtype=torch.int64)
        def alive(self):
            if self.dead:
                open(__file__ + ".asked", "w").close()
                raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered\\nagain")
        def observe(self, transition): ...
        def update(self):
            self.dead = self.n >= 30 and self.spec.num_seeds == 1
            if self.dead:
                self.fail()
            return {"loss": torch.ones(self.spec.num_seeds)}
        def fail(self):
            raise torch.AcceleratorError(
                "CUDA error: an illegal memory access was encountered\\n"
                "CUDA kernel errors might be asynchronously reported at some other API call.")
        def diagnostics(self):
            self.alive()
            return {}
        def state_dict(self):
            self.alive()
            return {"n": self.n, "weights": self.weights}
        def load_state_dict(self, state):
            self.alive()
            self.n, self.weights = state["n"], state["weights"].clone()

    class Older(Fails):
        def fail(self):
            raise RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(handle)`")
    class Full(Fails):
        def fail(self):
            raise torch.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.19 GiB of which 1.20"
                " GiB is free. Including non-PyTorch memory, this process has 3 GiB memory in use.")
    class Hides(Fails):
        def fail(self):
            try:
                super().fail()
            except RuntimeError:
                raise ValueError("the update failed")
"""


@pytest.mark.parametrize("every", ["10", "0"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Fails", "an illegal memory access was encountered"),
        ("Older", "CUBLAS_STATUS_EXECUTION_FAILED"),
        ("Full", "out of memory: 2.00 GiB were wanted, and 1.20 GiB are free"),
        slow("Hides", "an illegal memory access was encountered"),
    ],
)
def test_a_card_that_fails_stops_the_run_with_one_line(
    name: str, words: str, every: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rlbench.runfolder.checkpoints import Pace

    monkeypatch.setattr(Pace, "affords", lambda self, steps: True)
    code, run = tmp_path / "failing.py", tmp_path / "run"
    code.write_text(textwrap.dedent(FAILING))
    plain = [w for w in TINY if "dqn." not in w]
    plain = [w for i, w in enumerate(plain) if w != "--set" or "=" in plain[min(i + 1, len(plain) - 1)]]
    start = ("train", "--env", "CartPole-v1", "--num-envs", "1", *plain, "--seeds", "1", "--out", run)
    said = mistake(*start, "--agent", f"{code}:{name}", "--set", f"checkpoint_every={every}")
    assert re.match(rf"Error: the card cpu failed after step 29: CUDA .*{re.escape(words)}", said), said
    assert not Path(f"{code}.asked").exists()  # the card was dead
    assert not (run / "faults").exists()
    code.write_text(code.read_text().replace("self.n >= 30", "False"))
    if every == "0":
        assert "No checkpoint was written yet." in said
        assert ("With fewer seeds, or --device cpu, begin" in said) == (name == "Full")
    else:
        assert "The newest checkpoint holds step 20 and is whole." in said
        assert checkpoint_file.load(run / "checkpoint.pth", "checkpoint")["env_steps"] == 20
        assert ("With more of its memory free, or elsewhere by --device, go on with" in said) == (name == "Full")
    _, *go_on = shlex.split(said.partition(" with: ")[2])
    result = rlbench(*go_on, "--progress", "none")
    assert result.exit_code == 0, result.output
    assert checkpoint_file.load(run / "checkpoint.pth", "checkpoint")["env_steps"] == 120


def test_a_card_that_fails_under_one_of_several_processes(tmp_path: Path) -> None:
    code, run = tmp_path / "failing.py", tmp_path / "run"
    code.write_text(textwrap.dedent(FAILING))
    plain = [w for w in TINY if "dqn." not in w]
    plain = [w for i, w in enumerate(plain) if w != "--set" or "=" in plain[min(i + 1, len(plain) - 1)]]
    words = ("--seeds", "3", "--workers", "2", "--num-envs", "1", "--out", run, "--agent", f"{code}:Fails")
    said = mistake("train", "--env", "CartPole-v1", *plain, *words)  # seed 0 fails; seeds 1 and 2 do not
    assert re.match("Error: the card cpu failed after step 29: CUDA error: an illegal memory access", said)
    assert f"{run} --agent" in said or f"--resume {run}" in said or f"--out {run}" in said
    assert not Path(f"{code}.asked").exists()


@pytest.mark.parametrize(
    ("e", "said"),
    [
        (torch.AcceleratorError("CUDA error: unspecified launch failure"), "CUDA error: unspecified launch failure"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
        (torch.OutOfMemoryError("CUDA out of memory."), "CUDA out of memory"),
        (RuntimeError("size mismatch"), None),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), None),
        (KeyError("CUDA error: no"), None),
        (None, None),
    ],
)
def test_what_is_a_cards_doing(e: BaseException | None, said: str | None) -> None:
    assert card_failure(e) == said
    if said is not None:
        assert card_failure(e).full == ("memory" in said)  # type: ignore[union-attr]
        wrapped = ValueError("another")
        wrapped.__cause__ = e
        assert card_failure(wrapped) == said
        e.__context__ = wrapped  # type: ignore[union-attr]
        assert card_failure(wrapped) == said  # and ends


def test_a_card_that_fails_elsewhere_is_one_line_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    succeeds(*CARTPOLE, "--out", tmp_path / "run")

    def fails(*args: Any, **how: Any) -> Any:
        raise torch.AcceleratorError("CUDA error: all CUDA-capable devices are busy or unavailable\nmore")

    monkeypatch.setattr(build, "find_agent", fails)
    want = (
        "Error: the card failed: CUDA error: all CUDA-capable devices are busy or unavailable. Without it: --device cpu"
    )
    assert mistake("eval", tmp_path / "run", "--episodes", "1") == want
    assert mistake(*CARTPOLE, "--out", tmp_path / "new") == want
