"""The one parser of a run's CSV files, and the files of several processes that become one."""

import tracemalloc
from pathlib import Path

import pytest

from rlbench.errors import RunFolderError
from rlbench.runfolder.tables import COLUMNS, Restarted, Tail, join_tables, read_last, read_table

HEADER = "seed,env,episode,env_steps,episode_return\n"
EPISODES = ",".join(COLUMNS["episodes.csv"]) + "\n"


def test_rows_by_seed_in_columns(tmp_path: Path) -> None:
    path = tmp_path / "episodes.csv"
    path.write_text(EPISODES + "4,0,0,8,1.5,8,0.1\n3,1,0,9,2,9,0.2\n4,0,1,20,-3,12,0.3\r\n4,0,2,2")
    table, problem = read_table(path, "episodes.csv")
    assert problem == ""
    assert sorted(table) == [3, 4]
    assert {name: list(column) for name, column in table[4].items()} == {
        "seed": [4, 4], "env_steps": [8, 20], "env": [0, 0], "episode": [0, 1], "episode_return": [1.5, -3.0],
        "episode_length": [8, 12], "wall_seconds": [0.1, 0.3],
    }  # fmt: skip
    assert read_last(path, "").value == {name: column[-1] for name, column in table[4].items()}


def test_columns_in_any_order_and_others_between_them(tmp_path: Path) -> None:
    path = tmp_path / "episodes.csv"
    path.write_text("new,wall_seconds,episode_length,episode_return,env_steps,episode,env,seed\nx,1,2,3,4,5,6,7\n")
    ((seed, columns),) = read_table(path, "").value.items()
    assert (seed, columns["env_steps"][0], columns["wall_seconds"][0], columns["episode"][0]) == (7, 4, 1.0, 5)
    assert "new" not in columns


def test_metrics_need_not_be_finite_nor_there(tmp_path: Path) -> None:
    path = tmp_path / "updates.csv"
    path.write_text("seed,env_steps,updates,loss,q\n0,10,1,0.5,\n0,20,2,inf,nan\n")
    table, problem = read_table(path, "")
    assert problem == ""
    assert [str(x) for name in ("loss", "q") for x in table[0][name]] == ["0.5", "inf", "nan", "nan"]
    path.write_text("seed,env_steps,updates,loss\n0,10,1,much\n")
    assert read_table(path, "u").problem == "u is damaged at line 2: could not convert string to float: 'much'"


def test_no_file_and_one_that_was_only_begun_hold_nothing(tmp_path: Path) -> None:
    path = tmp_path / "episodes.csv"
    for text in (None, "", "seed,en", EPISODES[:-1], EPISODES, EPISODES + "0,0,0,8"):
        if text is not None:
            path.write_text(text)
        assert read_table(path, "") == ({}, "")
        assert read_last(path, "") == ({}, "")


DAMAGE = [
    (b"0,0,1\n", "3 fields instead of 7"),
    (b"\n", "1 fields instead of 7"),
    (b"\x00\xff\n", "1 fields instead of 7"),
    (b"0,0,1,9\x00,1,1,1\n", "invalid literal for int() with base 10: '9\\x00'"),
    (b"0,0,1,9,one,1,1\n", "could not convert string to float: 'one'"),
    (b"0,0,1,9,inf,1,1\n", "a number that is not finite"),
    (b"-1,0,1,9,1,1,1\n", "seed is -1"),
    (b"0,0,1,9223372036854775808,1,1,1\n", "env_steps is 9223372036854775808"),
    (b"0,0,1,7,1,1,1\n", "env_steps of seed 0 goes back"),
]


@pytest.mark.parametrize(("line", "why"), DAMAGE)
def test_a_table_is_sound_up_to_its_first_damaged_line(line: bytes, why: str, tmp_path: Path) -> None:
    """However it is read: whole, from the end, or while it grows."""
    path = tmp_path / "episodes.csv"
    path.write_bytes(EPISODES.encode() + b"0,0,0,8,1.5,8,0.1\n" + line)
    table, problem = read_table(path, "runs/a/episodes.csv")
    assert problem == f"runs/a/episodes.csv is damaged at line 3: {why}"
    assert list(table[0]["episode_return"]) == [1.5]
    tail = Tail(path, "runs/a/episodes.csv")
    with pytest.raises(RunFolderError) as told:
        list(tail.read())
    assert str(told.value) == f"{problem}."
    if "goes back" not in why:  # it takes the row before to see that
        assert read_last(path, "e").problem == f"e is damaged at its last line: {why}"
    with path.open("ab") as file:
        file.write(b"0,0,2,30,1,1,1\n")
    assert read_table(path, "runs/a/episodes.csv").problem == problem


def test_a_missing_column_is_said_of_the_first_line(tmp_path: Path) -> None:
    path = tmp_path / "evaluations.csv"
    path.write_text("seed,env_steps,mean_return\n0,1,2\n")
    told = "e is damaged at line 1: there is no column 'episodes'"
    assert (read_table(path, "e").problem, read_last(path, "e").problem) == (told, told)


def test_a_tail_notices_what_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "updates.csv"
    tail, header = Tail(path, "u"), "seed,env_steps,updates,loss\n"
    assert list(tail.read()) == []
    path.write_text(f"{header}1,2,3,4\n1,3,")
    assert list(tail.read()) == [{"seed": 1, "env_steps": 2, "updates": 3, "loss": 4.0}]
    assert list(tail.read()) == []
    path.write_text(f"{header}1,2,3,4\n1,3,4,5\n")
    assert [row["env_steps"] for row in tail.read()] == [3]
    path.write_text(f"{header}1,2,3,4\n1,3,4,6\n1,4,5,6\n")  # cut back, and longer again since
    with pytest.raises(Restarted):
        list(tail.read())
    path.unlink()
    with pytest.raises(Restarted):
        list(tail.read())


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
