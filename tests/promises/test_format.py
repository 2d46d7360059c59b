"""Files of the first format must open for ever: a run that was interrupted at step 90, as that version left it.

A later format gets a folder of its own beside it: train a run as small, interrupt it, and leave out what is no record.
"""

import shutil
import zlib
from pathlib import Path

import pytest
import torch
from test_promises import rows

import rlbench
from rlbench.runfolder import checkpoint_file, journal
from rlbench.runfolder.checkpoints import newest
from rlbench.runfolder.reader import Reader
from rlbench.trained.recording import open_recording
from rlbench.trained.verify import check_seeds, read_tables
from rlbench.training import train as training

RUN = Path(__file__).parents[1] / "fixtures" / "format-1" / "run"
WEIGHTS = {
    "checkpoint": [2031437258, 1327562733, 4080187484, 2510045778],
    "best": [667885232, 1349896061, 3293369402, 3027534680],
}


def sums(tensors: dict[str, torch.Tensor]) -> list[int]:
    return [zlib.crc32(tensors[name].numpy().tobytes()) for name in sorted(tensors)]


@pytest.mark.parametrize("name", list(WEIGHTS))
def test_weights(name: str) -> None:
    content = checkpoint_file.load(RUN / f"{name}.pth", "checkpoint")
    assert content["format"] == 1
    assert sums(content["agent"]["q_net"]) == WEIGHTS[name]


def test_the_pair_of_checkpoint_and_replay_buffer() -> None:
    kept = newest(RUN)
    assert kept.content["env_steps"] == 90
    assert kept.notes == []
    assert kept.replay is not None
    assert sums(dict(zip("ab", kept.replay["rows"], strict=True))) == [1726385904, 3567437786]
    assert kept.replay["cursor"] == 21


def test_every_recorded_episode_runs_again() -> None:
    assert [len(list(journal.entries(path))) for path in journal.files(RUN)] == [3, 4]
    found, problems = read_tables(Reader(RUN))
    assert problems == []
    reports = list(check_seeds(open_recording(RUN), [5, 6], found))
    assert [(r.seed, r.episodes, r.agree, r.problems) for r in reports] == [(5, 3, 3, []), (6, 4, 4, [])]


def test_playing_and_going_on(tmp_path: Path) -> None:
    run = Path(shutil.copytree(RUN, tmp_path / "run"))
    assert rlbench.evaluate(rlbench.load(run), episodes=3).tolist() == [[9.0, 10.0, 10.0]] * 2
    done = training.resume(run)
    assert (done.summary["env_steps"], done.summary["exact"]) == (160, True)
    assert rows(run)[:7] == rows(RUN)
    assert len(rows(run)) > 7
