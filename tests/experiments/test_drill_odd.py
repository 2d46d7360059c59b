"""The drill of odd environments: that it finds what it is there to find, and a slow run of some of its cases."""

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from gymnasium import spaces
from rlbench.experiments.drills.odd import commands
from rlbench.experiments.drills.odd.cases import table
from rlbench.experiments.drills.odd.judge import flag, number
from rlbench.experiments.drills.odd.values import SPOILERS, build, draw, fixed, leaves, replaced, told, untold, vector


def test_the_table_is_the_same_every_time_and_no_name_stands_twice() -> None:
    cases = table(500, 0)
    assert cases == table(500, 0)
    assert max(Counter(case.name for case in cases).values()) == 1
    assert {case.expect for case in cases} == {"fine", "either", "fails", "refused"}
    assert [case.name for case in table(500, 1)] != [case.name for case in cases]


def test_a_value_of_every_space_is_its_own_and_survives_being_written_down() -> None:
    rng = np.random.default_rng(0)
    for case in table(None, 0):
        if case.group == "observations":
            space = build(case.obs)
            value = draw(space, rng)
            assert space.contains(value), case.name
            expected = vector(space, untold(told(value)))
            assert expected is not None, case.name
            if fixed(space) and all(fixed(leaf) for _, leaf in leaves(space)):
                flat = spaces.flatten(space, value)
                np.testing.assert_array_equal(expected.astype(np.float32), flat.astype(np.float32))


@pytest.mark.parametrize("how", ["nan", "infinite", "one-more", "nothing", "text", "ragged", "dictionary", "complex"])
def test_a_wrong_value_has_no_numbers(how: str) -> None:
    space = build(["Dict", {"a": ["Box", 0, 1, [3], "float32"], "b": ["MultiDiscrete", [3, 2], [5, 0]]}])
    rng = np.random.default_rng(0)
    for place in (("a",), ("b",)):
        wrong = replaced(draw(space, rng), place, SPOILERS[how])
        assert vector(space, untold(told(wrong))) is None


def test_what_counts_as_a_reward_and_as_a_flag() -> None:
    assert [number(x) for x in (1, np.float64(0.5), np.array([2.0]), True)] == [1.0, 0.5, 2.0, 1.0]
    assert [number(x) for x in (None, "a", 1e40, float("nan"), [1, 2], 10**400)] == [None] * 6
    assert [flag(x) for x in (True, np.bool_(False), 1, np.array([0]))] == [True, False, True, False]
    assert [flag(x) for x in (None, "False", 0.5, [True, False])] == [None] * 4


def test_the_commands_that_are_printed_are_found() -> None:
    lines = (
        "Go on with: rlbench train --resume 'my runs/a' --agent -x.py:A",
        "Again: (rlbench plot run)",
        "`rlbench runs x`",
    )
    said = commands.Said(("train",), 130, "\n".join(lines), "", ())
    assert commands.printed(said) == [
        ["train", "--resume", "my runs/a", "--agent", "-x.py:A"], ["plot", "run"], ["runs", "x"],
    ]  # fmt: skip


@pytest.mark.slow
def test_nothing_goes_wrong_with_a_few_of_them() -> None:
    """In a process of its own: its forks take over everything, our filter of warnings too."""
    words = [sys.executable, "-m", "rlbench.experiments.drills", "odd", "--only", "action/box-"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "12 environments" in done.stdout
