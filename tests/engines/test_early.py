"""A nursery that begins before its driver has imported torch: handed over, or ended where nobody took it."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import mistake, rlbench

from rlbench.cells.order import Order
from rlbench.engines import early
from rlbench.engines.engine import Needs
from rlbench.engines.local import Local
from rlbench.sweep.index import CellState, Index

Process = subprocess.Popen[bytes]
WAITS = [sys.executable, "-c", "import sys; sys.stdin.buffer.read()"]  # as a nursery does, and ends with its input
SECONDS = 30.0
SWEEP = '[base]\nenv = "FrozenLake-v1"\nagent = "random"\nseeds = 1\ntotal_steps = 60\n[grid]\nseed = [0, 1]\n'


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Process]]:
    """The nurseries that are begun, which import nothing."""
    found: list[Process] = []

    def begin() -> Process:
        one = subprocess.Popen(WAITS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        found.append(one)
        return one

    monkeypatch.setattr(early, "begin", begin)
    yield found
    for one in found:
        left = one.poll() is None
        one.kill()
        one.wait()
        assert not left
    assert early._begun == []


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt, SystemExit])
def test_one_that_nobody_took_is_ended_whatever_happens(
    begun: list[Process], error: type[BaseException] | None
) -> None:
    def command() -> None:
        with early.nursery():
            assert [one.poll() for one in begun] == [None]
            if error is not None:
                raise error

    if error is None:
        command()
    else:
        with pytest.raises(error):
            command()
    assert [one.returncode for one in begun] == [-9]
    assert begun[0].stdin is not None
    assert begun[0].stdin.closed


def test_the_first_that_hands_a_cell_over_has_it_and_ends_it(begun: list[Process], tmp_path: Path) -> None:
    with early.nursery():
        engines = [Local(tmp_path, {"cores": 1}) for _ in range(2)]
        engines[0].begin(Order("a", str(tmp_path), {}), Needs())
        assert engines[0]._nursery is begun[0]
        engines[1].begin(Order("b", str(tmp_path), {}), Needs())  # for it there is none any more
        assert engines[1]._nursery is begun[1]
    assert [one.poll() for one in begun] == [None, None]  # who has taken it ends it
    for engine in engines:
        engine.close()
    assert [one.returncode for one in begun] == [0, 0]


def test_one_that_has_died_is_replaced(begun: list[Process]) -> None:
    with early.nursery():
        begun[0].kill()
        begun[0].wait()
        assert early.take() is begun[1]
        assert begun[0].stdout is not None
        assert begun[0].stdout.closed
        assert begun[1].poll() is None
    begun[1].communicate()


def test_none_is_begun_where_none_is_wanted(begun: list[Process]) -> None:
    with early.nursery(wanted=False):
        pass
    assert begun == []


def test_a_wrong_request_leaves_none_behind(
    begun: list[Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "two.toml"
    file.write_text(SWEEP.replace("total_steps", "totl_steps"))
    mistake("sweep", file)
    mistake("sweep", file, "--with", "memory=many")
    mistake("ablate", "dqn/CartPole-v1", "--keys", "dubble")
    mistake("tune", file, "--out", "tuned")
    assert [one.poll() for one in begun] == [-9, -9, -9, -9]


def test_what_can_be_told_at_once_begins_none(
    begun: list[Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file, out = tmp_path / "two.toml", tmp_path / "out"
    mistake("sweep", tmp_path / "none.toml")
    mistake("tune", tmp_path / "none.toml", "--out", "tuned")
    file.write_text("[base\n")
    mistake("sweep", file)
    file.write_text(SWEEP)
    mistake("sweep", file, "--on", "moon")
    mistake("tune", file)
    mistake("ablate", "dqn/CartPole-v1", "--confidence", "7")
    out.mkdir()
    index = Index(out)
    index.begin({f"FrozenLake-v1_random_seed={k}": CellState("done") for k in (0, 1)})
    index.end()
    rlbench("sweep", file, "--out", out, "--with", "memory=many")  # of which nothing is left to run
    assert begun == []


SCRIPT = """
import sys
from rlbench.cli import main
from rlbench.cells.order import Order
from rlbench.engines import early

def begin():
    print([name for name in ("torch", "numpy", "gymnasium") if name in sys.modules], flush=True)
    sys.exit(7)

early.begin = begin
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    "words",
    [("sweep", "two.toml", "--with", "cores=1"), ("ablate", "dqn/CartPole-v1"), ("tune", "two.toml", "--out", "tuned")],
    ids=lambda words: words[0],
)
def test_it_begins_before_anything_heavy_is_imported(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "two.toml").write_text(SWEEP)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words], cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS
    )
    assert (done.returncode, done.stdout) == (7, "[]\n"), done.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks the system for its end")
def test_a_nursery_whose_driver_is_killed_while_it_imports_ends() -> None:
    code = "import time; from rlbench.engines import early; print(early.begin().pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        number = int(driver.stdout.readline())
        handle = os.pidfd_open(number)
        try:
            driver.kill()
            ready, _, _ = select.select([handle], [], [], SECONDS)  # readable once it has ended
            assert ready == [handle]
        finally:
            os.close(handle)


SLOW = """
import os, pathlib, time
(pathlib.Path(__file__).parent / f"pid-{os.getpid()}").touch()
try:
    time.sleep(60)
except KeyboardInterrupt:
    raise ImportError("cannot load module more than once per process")
"""


def test_ctrl_c_while_numpy_is_imported_is_one_line_and_leaves_nobody(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text(SLOW)
    (tmp_path / "two.toml").write_text(SWEEP)
    command = [sys.executable, "-m", "rlbench", "sweep", "two.toml", "--out", "out"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    one = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + SECONDS
    while len(found := list(tmp_path.glob("pid-*"))) < 2 and time.monotonic() < until:  # the driver, and its nursery
        time.sleep(0.05)
    one.send_signal(signal.SIGINT)
    assert one.communicate(timeout=SECONDS)[1] == "interrupted\n"
    assert one.returncode == 130
    (other,) = {int(path.name[4:]) for path in found} - {one.pid}
    while os.path.exists(f"/proc/{other}") and time.monotonic() < until:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{other}")
    assert not (tmp_path / "out").exists()
