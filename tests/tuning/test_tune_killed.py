"""A real search over two processes, of which one is killed -9 with its worker."""

from pathlib import Path

import pytest
from rlbench.experiments.drills.tune import SMALL, drill


@pytest.mark.slow
def test_the_trial_of_a_killed_process_goes_on_exactly(tmp_path: Path) -> None:
    assert drill(tmp_path, SMALL) == 0
