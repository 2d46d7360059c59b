"""The index of a sweep: what is written is read, half rows and damage are left out."""

import math
from pathlib import Path

from rlbench.sweep.index import CellState, Index

DONE = CellState("done", 2, 100, 100, 12.5, (1.0, math.inf, -0.5), 3.25, 'a, b\n"c"', 2**33, "d1", "host")


def test_what_is_put_is_read_as_it_grows(tmp_path: Path) -> None:
    ours, theirs = Index(tmp_path), Index(tmp_path)
    assert theirs.read() == {}
    ours.begin({"a": CellState(), "b": CellState("stopped", 1)})
    assert theirs.read() == {"a": CellState(), "b": CellState("stopped", 1)}
    ours.put([("a", DONE)])
    assert theirs.read() == {"a": DONE._replace(message='a, b "c"'), "b": CellState("stopped", 1)}
    assert ours.states["a"] == DONE
    ours.end()
    again = Index(tmp_path)
    assert again.read() == theirs.read()


def test_unknown_returns_stay_unknown(tmp_path: Path) -> None:
    index = Index(tmp_path)
    index.begin({"a": CellState("running", returns=(math.nan, 2.0))})
    index.end()
    first, second = Index(tmp_path).read()["a"].returns
    assert math.isnan(first)
    assert second == 2.0


def test_a_half_row_waits_for_its_other_half(tmp_path: Path) -> None:
    index = Index(tmp_path)
    index.begin({"a": CellState("running", 1)})
    index.end()
    reader = Index(tmp_path)
    reader.read()
    whole = "a,done,1,5,5,0.0,,1.0,,0,,\n"
    with index.path.open("a") as file:
        file.write(whole[:9])
        file.flush()
        assert reader.read()["a"].state == "running"
        file.write(whole[9:])
    assert reader.read()["a"].state == "done"


def test_rows_that_are_damaged_count_as_not_there(tmp_path: Path) -> None:
    index = Index(tmp_path)
    index.begin({"a": CellState("running", 1), "b": CellState()})
    index.end()
    with index.path.open("ab") as file:
        file.write(
            b"a,dead,1,5,5,0.0,,1.0,,0,,\nb,done,x,5,5,0.0,,1.0,,0,,\n\xff\xfe\na,done\nb,done,1,5,5,nan,,1.0,,0,,\n"
        )
    assert Index(tmp_path).read() == {"a": CellState("running", 1), "b": CellState()}


def test_a_quotation_mark_in_a_damaged_row_takes_no_other_row_with_it(tmp_path: Path) -> None:
    index = Index(tmp_path)
    index.begin({"a": CellState()})
    with index.path.open("ab") as file:
        file.write(b'b,"half of a row\n' + b"x" * 200_000 + b"\n")
    index.put([("a", DONE)])
    index.end()
    assert Index(tmp_path).read().keys() == {"a"}
    assert Index(tmp_path).read()["a"].state == "done"


def test_a_file_that_is_written_anew_and_grows_is_read_anew(tmp_path: Path) -> None:
    index, reader = Index(tmp_path), Index(tmp_path)
    index.begin({"a": CellState()})
    assert reader.read() == {"a": CellState()}
    index.begin({"b": CellState(), "c": CellState(), "d": CellState()})  # longer than what was there
    index.end()
    assert reader.read() == {"b": CellState(), "c": CellState(), "d": CellState()}


def test_a_file_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    index, reader = Index(tmp_path), Index(tmp_path)
    index.begin(dict.fromkeys("abcdef", DONE))
    assert len(reader.read()) == 6
    index.begin({"g": CellState()})
    index.end()
    assert reader.read() == {"g": CellState()}
    index.path.unlink()
    assert reader.read() == {}
