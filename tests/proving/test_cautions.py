"""Notes on what is as the live agent has it, and still no good: observations outside their space, and NaN."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import registering
from gymnasium import spaces
from shipped import Everything, exported, opened

from rlbench.policyfile.leaves import BadValue, checked
from rlbench.policyfile.metadata import Box
from rlbench.proving import proof


class Flat(Everything):
    """Three numbers, of which the last may have no bound; two actions."""

    observation_space: Any = spaces.Box(np.array([-1, -1, -np.inf]), np.array([1, 1, np.inf]), (3,), np.float64)
    action_space: Any = spaces.Discrete(2)

    def drawn(self) -> Any:
        return self.np_random.uniform(-1, 1, 3) * [1, 1, 1000]


class Beyond(Flat):
    """Every third step of it is outside."""

    def drawn(self) -> Any:
        return super().drawn() + np.array([0, 2.5 if getattr(self, "t", 0) % 3 == 2 else 0, 0])


class Bools(Flat):
    """A Box of truth values."""

    observation_space: Any = spaces.Box(0, 1, (3,), np.bool_)

    def drawn(self) -> Any:
        return self.np_random.random(3) < 0.5


_registered = registering({f"cautions/{cls.__name__}-v0": cls for cls in (Flat, Beyond, Bools)})


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "RECORDED", 60)
    monkeypatch.setattr(proof, "RANDOM", 60)


def test_what_lies_outside_its_space_is_said(tmp_path: Path) -> None:
    done, file = exported(opened(tmp_path, "cautions/Beyond-v0", hidden=(8,)), tmp_path / "a.onnx")
    (note,) = done.notes
    assert note.startswith("20 of the 60 observations of 10 greedy episodes lie outside the space that cautions/Bey")
    assert "/predict of `rlbench serve` refuses such. Clip them in the client" in note
    assert isinstance(file.metadata.obs, Box)
    with pytest.raises(BadValue):  # as the service asks
        checked(file.metadata.obs, [0.0, 1.5, 0.0], "obs")


def test_nothing_is_said_of_what_is_sound(tmp_path: Path) -> None:
    done, _ = exported(opened(tmp_path, "cautions/Flat-v0", hidden=(8,)), tmp_path / "a.onnx")
    assert done.notes == ()


def test_values_that_are_no_numbers_are_said(tmp_path: Path) -> None:
    trained = opened(tmp_path, "cautions/Flat-v0", hidden=(8,))
    agent: Any = trained.agent
    agent.q_net.layers[-1].bias.data[:] = torch.nan
    done, _ = exported(trained, tmp_path / "a.onnx")
    assert [note[:50] for note in done.notes] == ["q_values is NaN at 60 of 60 observations: the live"]


def test_a_box_of_truth_values_is_exported(tmp_path: Path) -> None:
    done, file = exported(opened(tmp_path, "cautions/Bools-v0", hidden=(8,)), tmp_path / "a.onnx")
    assert (file.metadata.inputs[0].dtype, done.notes) == ("bool", ())
    answer = file(file.inputs([np.array([True, False, True])]))
    assert answer["q_values"].shape == (1, 2)
