"""CSV files of several processes become one."""

import tracemalloc
from pathlib import Path

from rlbench.runfolder.workers import join_tables

HEADER = "seed,env,episode,env_steps,episode_return\n"


def test_rows_come_in_the_order_of_one_process(tmp_path: Path) -> None:
    first, second, none = (tmp_path / name for name in ("first", "second", "none"))
    first.write_text(HEADER + "0,0,0,8,1\n1,0,0,8,2\n1,1,0,8,2\n0,0,1,100,3\n")
    second.write_text(HEADER + "2,0,0,8,4\n2,0,1,9,5\n")
    none.write_text("")
    join_tables([none, first, second], tmp_path / "whole")
    rows = ["0,0,0,8,1", "1,0,0,8,2", "1,1,0,8,2", "2,0,0,8,4", "2,0,1,9,5", "0,0,1,100,3"]
    assert (tmp_path / "whole").read_text() == HEADER + "".join(f"{row}\n" for row in rows)
    assert not list(tmp_path.glob(".*"))


def test_long_tables_take_no_memory(tmp_path: Path) -> None:
    parts = [tmp_path / "0", tmp_path / "1"]
    for seed, part in enumerate(parts):
        part.write_text(HEADER + "".join(f"{seed},0,{i},{8 * i},1.0\n" for i in range(20_000)))
    tracemalloc.start()
    join_tables(parts, tmp_path / "whole")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "whole").read_text().count("\n") == 40_001
    assert most < 1_000_000
