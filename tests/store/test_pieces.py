"""Tests of rlbench.store.pieces: where files are cut."""

from pathlib import Path

import pytest

from rlbench.store.pieces import MOST, PIECE, cuts, files_of


def test_a_new_file_is_cut_into_pieces_of_one_size() -> None:
    assert cuts(0, []) == []
    assert cuts(10, []) == [10]
    assert cuts(2 * PIECE, []) == [PIECE, PIECE]
    assert cuts(2 * PIECE + 1, []) == [PIECE, PIECE, 1]


def test_pieces_of_a_large_file_are_larger() -> None:
    for size in (PIECE * MOST - 1, PIECE * MOST, 3 * PIECE * MOST, 100 * PIECE * MOST):
        assert MOST / 2 <= len(cuts(size, [])) <= MOST + 1
        assert sum(cuts(size, [])) == size


def test_it_is_cut_where_it_was_cut_before() -> None:
    before = [PIECE, 7, 3]
    assert cuts(PIECE + 10, before) == before
    assert cuts(PIECE + 8, before) == [PIECE, 7, 1]
    assert cuts(PIECE + 12, before) == [PIECE, 7, 3, 2]
    assert cuts(PIECE - 1, before) == [PIECE - 1]


def test_what_it_grew_by_takes_those_with_it_that_are_no_larger() -> None:
    assert cuts(8, [4, 2, 1]) == [8]  # 1 takes 1, 2 takes 2, 4 takes 4
    assert cuts(11, [4, 2, 1]) == [11]
    assert cuts(PIECE + 5, [PIECE, 3]) == [PIECE, 3, 2]
    assert cuts(2 * PIECE, [PIECE]) == [PIECE, PIECE]


@pytest.mark.parametrize("by", [1, 700, PIECE // 3])
def test_a_file_that_grows_has_few_pieces_and_each_byte_is_sent_a_few_times(by: int) -> None:
    sizes: list[int] = []
    sent, most = 0, 0
    for k in range(1, 1001):
        new = cuts(k * by, sizes)
        assert sum(new) == k * by
        same = 0
        while same < min(len(new), len(sizes)) and new[same] == sizes[same]:
            same += 1
        sent += sum(new[same:])
        sizes = new
        most = max(most, len(new) - 2 * k * by // PIECE)
    assert most <= 12  # beyond those of at least half the size: powers of two
    assert sent <= 11 * 1000 * by  # log2(1000) times and once


def test_locks_leftovers_and_links_to_folders_are_left_out(tmp_path: Path) -> None:
    for name in ("a.csv", ".lock", ".a.csv.01234567.tmp", ".wandb.json"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    (tmp_path / "checkpoints" / "5").mkdir(parents=True)
    (tmp_path / "checkpoints" / ".6.tmp").mkdir()
    for place in ("5", ".6.tmp"):
        (tmp_path / "checkpoints" / place / "checkpoint.pth").touch()
    (tmp_path / "round").symlink_to(tmp_path)
    assert dict(files_of(tmp_path)).keys() == {"a.csv", ".wandb.json", "checkpoints/5/checkpoint.pth"}
