"""A cell's process as a whole: what it takes along where it begins again in another mode."""

import json
import subprocess
import sys
from pathlib import Path

from rlbench.cells.order import Order

AGAIN = """
import os, sys
from rlbench.cells import life
from rlbench.cells.order import Order

def exec_(path, words, environment):
    told = sys.stdin.read() if len(words) == 3 else open(words[3]).read()
    with open(sys.argv[2], "w") as file:
        file.write(told)
    os._exit(0)

os.execve = exec_
life.perform = lambda order, again, elsewhere: again("AVX2")
life.live(Order.from_json(sys.argv[1]))
"""


def test_who_begins_again_is_told_what_this_process_was_and_not_what_a_file_says(tmp_path: Path) -> None:
    order = Order("a", str(tmp_path / "a"), {"env": "mine"}, 2)
    (tmp_path / "a").mkdir()
    other = Order("a", str(tmp_path / "a"), {"env": "x", "imports": ["not_mine"]})
    (tmp_path / "a" / "order.json").write_text(other.to_json())
    (tmp_path / "a" / "order.json").chmod(0o444)
    full = "import rlbench.files as f\nf._beside = lambda path: (_ for _ in ()).throw(OSError(28, 'no space'))\n"
    told = tmp_path / "told"
    subprocess.run(
        [sys.executable, "-c", full + AGAIN, order.to_json(), str(told)], check=True, stdin=subprocess.DEVNULL
    )
    assert json.loads(told.read_text()) == order._asdict()
