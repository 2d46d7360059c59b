"""The table of a sweep's cells: it fits every terminal, shows first what wants looking at, and computes right."""

import io
import math
import re

import pytest
from rich.console import Console

from rlbench.cells.attempt import final_returns
from rlbench.live.panel import Size
from rlbench.live.progress import Screen
from rlbench.live.words import mean_text
from rlbench.sweep import view
from rlbench.sweep.index import CellState
from rlbench.sweep.panel import chosen, shortened, sweep_panel
from rlbench.sweep.plan import Cell
from rlbench.sweep.standing import SweepPace, SweepStanding, seeds_of
from rlbench.sweep.view import CellLines, CellPanel, ended_line, summary_line

WAITS = CellState("waiting", total_steps=1000)
RUNS = CellState("running", 1, 250, 1000, 100.0, (1.0, 2.0, 3.0), 7.5, "")
DONE = CellState("done", 1, 1000, 1000, 90.0, (4.0, 5.0, 6.0), 30.0, "")
FAILED = CellState("failed", 3, 100, 1000, 0.0, (), 3.0, "loss is not finite\nat step 100")
STOPPED = CellState("stopped", 1, 500, 1000, 0.0, (1.0, 1.0, 1.0), 15.0, "interrupted")
SIZES = [(110, 28), (200, 60), (80, 24), (50, 14), (30, 10), (24, 9), (20, 8), (8, 3), (3, 1)]


def made(*states: CellState) -> tuple[list[Cell], dict[str, CellState]]:
    """A sweep whose cells stand so."""
    cells = [
        Cell(f"CartPole-v1 dqn gamma=0.9{i} seed={i}", f"dqn gamma=0.9{i}", "CartPole-v1", {"seeds": 3})
        for i in range(len(states))
    ]
    return cells, {cell.name: state for cell, state in zip(cells, states, strict=True)}


def test_a_return_that_rests_on_some_of_the_seeds_says_so() -> None:
    lost = DONE._replace(returns=(math.nan, 5.0, math.nan, math.nan))
    assert ended_line("a", lost) == "done     a: return 5 (1 of 4 seeds), 1,000 env steps, 30s"
    assert "seeds" not in ended_line("a", DONE)
    cells, states = made(lost, DONE, RUNS)
    console = Console(width=110, file=io.StringIO(), record=True)
    console.print(sweep_panel("s", cells, states, standing(cells, states), Size(110, 28)))
    assert console.export_text().count("5 (1 of 4 seeds)") == 1
    assert final_returns({"final_eval_return": {"0": None, "1": 5.0}})[1:] == (5.0,)
    assert math.isnan(final_returns({"final_eval_return": {"0": None, "1": 5.0}})[0])
    assert final_returns({"final_eval_return": {"0": None}}) == ()


def standing(cells: list[Cell], states: dict[str, CellState]) -> SweepStanding:
    return SweepPace().look(cells, states, 0.0)


def drawn(cells: list[Cell], states: dict[str, CellState], width: int, height: int, plain: bool = False) -> list[str]:
    """The lines of the panel, without colour."""
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False, highlight=False)
    size = Size(width, height, plain)
    console.print(sweep_panel("runs/mine", cells, states, standing(cells, states), size, "q leaves"))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().split("\n")[:-1]


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("count", [1, 6, 40, 1000])
def test_the_panel_fits_and_keeps_its_height(count: int, width: int, height: int, plain: bool) -> None:
    early = drawn(*made(*[WAITS] * count), width, height, plain)
    some = [RUNS, FAILED, DONE, STOPPED]
    late = drawn(*made(*(some[i % 4] for i in range(count))), width, height, plain)
    assert len(early) == len(late) <= max(height - 1, 1)
    for lines in (early, late):
        assert all(len(line) <= width for line in lines)
        if plain:
            assert "".join(lines).isascii()


def test_what_a_line_says() -> None:
    text = "\n".join(drawn(*made(RUNS, DONE, FAILED, STOPPED, WAITS), 130, 28))
    running, done, failed, stopped, waiting = (line for line in text.split("\n") if "seed=" in line)
    assert "running" in running
    assert "250 (25 %)" in running
    assert "100/s" in running
    assert mean_text(view.np.array([1.0, 2.0, 3.0])) in running
    assert "22s left" in running  # 750 steps of three seeds at 100 a second
    assert "1,000 (100 %)" in done
    assert "30s" in done
    assert "failed (3)  loss is not finite at step 100" in failed
    assert "interrupted" in stopped
    assert waiting.split()[5:10] == ["waiting", "-", "-", "-", "-"]
    assert "1 of 5 done" in text
    assert "1 running   1 failed   1 stopped   1 waiting" in text
    assert "runs/mine, 5 cells" in text
    assert "q leaves" in text


def test_of_many_cells_those_that_run_and_failed_come_first() -> None:
    cells, states = made(*[DONE] * 400, *[WAITS] * 500, *[RUNS] * 4, *[FAILED] * 3, STOPPED, *[WAITS] * 92)
    shown = [states[cell.name].state for cell in chosen(cells, states, 16)]
    assert shown == ["running"] * 4 + ["failed"] * 3 + ["stopped"] + ["done"] * 4 + ["waiting"] * 4
    text = "\n".join(drawn(cells, states, 110, 24))
    assert "and 588 waiting, 396 done" in text
    assert text.count("running") == 5  # a line each, and their number


def test_queued_cells_come_before_those_that_wait() -> None:
    queued = CellState("queued", 1, total_steps=1000)
    cells, states = made(*[WAITS] * 100, *[queued] * 3)
    assert [states[cell.name].state for cell in chosen(cells, states, 5)] == ["queued"] * 3 + ["waiting"] * 2
    assert "3 queued" in "\n".join(drawn(cells, states, 110, 24))


def test_failed_cells_keep_room_beside_many_that_run() -> None:
    cells, states = made(*[RUNS] * 100, *[FAILED] * 100)
    shown = [states[cell.name].state for cell in chosen(cells, states, 15)]
    assert shown == ["running"] * 10 + ["failed"] * 5


def test_few_cells_stand_in_the_order_of_the_plan() -> None:
    cells, states = made(WAITS, DONE, FAILED, RUNS)
    assert chosen(cells, states, 4) == cells


@pytest.mark.parametrize("width", [24, 30, 40, 50, 60, 80, 100])
def test_a_narrow_panel_drops_columns_and_keeps_the_ends_of_names(width: int) -> None:
    running, done = drawn(*made(RUNS, DONE), width, 24)[5:7]
    assert re.match(r"│ .*=0 +running", running)
    assert re.match(r"│ .*=1 +done", done)
    assert ("100/s" in running) == (width >= 100)
    assert "25 %" in running


def test_a_name_is_cut_in_its_middle() -> None:
    assert shortened("CartPole-v1 dqn gamma=0.98", 16) == "CartP…gamma=0.98"
    assert shortened("CartPole-v1 dqn gamma=0.98", 16, plain=True) == "CartP..amma=0.98"
    assert shortened("short", 16) == "short"


def test_time_left_is_that_of_all_cells_over_those_that_run() -> None:
    found = standing(*made(RUNS, RUNS, WAITS, WAITS, DONE))
    of_each = 750 * 3 / 100
    cost = (2 / 100 + 30 / 3000) / 3  # seconds of an env step of one seed: two that run, one that is done
    assert found.left == pytest.approx((2 * of_each + 2 * 3000 * cost) / 2)
    assert found.share == pytest.approx((250 + 250 + 1000) / 5000)
    assert found.rate == 200
    assert found.per_hour == pytest.approx(3600 * 2 / (3000 * cost))
    assert found.counts == {"running": 2, "waiting": 2, "done": 1}


def test_the_last_one_is_waited_for() -> None:
    slow = RUNS._replace(rate=1.0)
    found = standing(*made(slow, *[RUNS] * 9))
    assert found.left == pytest.approx(750 * 3)


def test_nothing_is_said_of_what_is_not_known() -> None:
    assert math.isnan(standing(*made(WAITS, STOPPED)).left)
    assert math.isnan(standing(*made(WAITS, RUNS._replace(rate=0.0))).left)
    assert "none is running" in summary_line(standing(*made(WAITS, STOPPED)))
    assert "? left" in summary_line(standing(*made(WAITS, RUNS._replace(rate=0.0))))
    over = standing(*made(DONE, FAILED))
    assert over.left == 0.0
    assert over.share == 1.0


def test_a_cell_that_waits_takes_as_many_steps_as_others_of_its_kind() -> None:
    """Of a cell that has not begun, the index knows no number of steps."""
    unknown = WAITS._replace(total_steps=0)
    found = standing(*made(RUNS, unknown))
    assert found.left == pytest.approx(750 * 3 / 100 + 3000 / 100)
    assert found.share == pytest.approx(250 / 2000)
    cells, states = made(RUNS, unknown)
    cells[1] = cells[1]._replace(settings={"seeds": 3, "total_steps": 500})
    assert standing(cells, states).left == pytest.approx(750 * 3 / 100 + 1500 / 100)
    assert standing(*made(unknown, unknown)).share == 0


def test_the_pace_is_counted_once_enough_have_ended() -> None:
    pace = SweepPace()
    pace.look(*made(*[RUNS] * 8), 100.0)
    found = pace.look(*made(DONE, DONE, DONE, FAILED, *[RUNS] * 4), 220.0)
    assert found.per_hour == pytest.approx(4 * 3600 / 120)


def test_seeds_are_as_told_or_as_the_file_says() -> None:
    cell = Cell("a", "a", "CartPole-v1", {"seeds": 7})
    assert seeds_of(cell, WAITS) == 7
    assert seeds_of(cell, RUNS) == 3
    assert seeds_of(cell._replace(settings={}), WAITS) == 10


def test_plain_lines_tell_every_end_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(view.time, "monotonic", lambda: clock[0])
    cells, states = made(RUNS, RUNS, WAITS)
    lines = CellLines(cells)
    lines.look(states)
    assert capsys.readouterr().out == summary_line(standing(cells, states)) + "\n"
    _, states = made(DONE, FAILED, RUNS)
    for at in (1.0, 2.0):
        clock[0] = at
        lines.look(states)
    said = capsys.readouterr().out.splitlines()
    assert said == [ended_line(cells[0].name, DONE), ended_line(cells[1].name, FAILED)]
    assert said[0].startswith("done     CartPole-v1 dqn gamma=0.90 seed=0: return 5.0 [")
    assert said[0].endswith("], 1,000 env steps, 30s")
    assert said[1] == "failed   CartPole-v1 dqn gamma=0.91 seed=1, attempt 3: loss is not finite at step 100"
    clock[0] = 31.0
    lines.look(states)
    assert capsys.readouterr().out.startswith("1 of 3 cells done, 75 %; 1 running, 1 failed; 22s left")


def test_a_cell_that_fails_again_is_told_again(capsys: pytest.CaptureFixture[str]) -> None:
    cells, states = made(FAILED._replace(attempt=1))
    lines = CellLines(cells)
    lines.look({cells[0].name: RUNS})
    capsys.readouterr()
    lines.look(states)
    lines.look({cells[0].name: FAILED._replace(attempt=2)})
    assert capsys.readouterr().out.count("failed") == 2


def test_a_panel_stays_when_it_is_closed() -> None:
    console = Console(file=io.StringIO(), width=100, height=20, force_terminal=True, highlight=False)
    cells, states = made(RUNS, DONE)
    panel = CellPanel("runs/mine", cells, Screen(console))
    panel.look(states, "q leaves")
    panel.note("told [in] brackets")
    panel.close()
    panel.close()
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert "told [in] brackets" in said
    last = said.rpartition("runs/mine, 2 cells")[2]
    assert "q leaves" not in last
    assert "250 (25 %)" in last
