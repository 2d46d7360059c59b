"""Progress in a cell of a notebook: one display that is drawn over, with words for where there is no HTML."""

import re
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rlbench.live import gauge
from rlbench.live.gauge import CellBar, SeldomLines, Silence, gauge_for
from rlbench.live.recent_curve import RecentCurve
from rlbench.live.shown import svg


class Handle:
    def __init__(self, first: Any) -> None:
        self.shown = [first]

    def update(self, shown: Any) -> None:
        self.shown.append(shown)


def notebook(monkeypatch: pytest.MonkeyPatch, *, kernel: bool) -> list[Handle]:
    """Let an IPython be there, in a kernel or on a terminal; what it displays."""
    handles: list[Handle] = []

    def display(shown: Any, *, display_id: bool) -> Handle:
        assert display_id
        handles.append(Handle(shown))
        return handles[-1]

    shell = SimpleNamespace(kernel=object()) if kernel else SimpleNamespace()
    ipython: Any = ModuleType("IPython")
    ipython.get_ipython, ipython.display = lambda: shell, ModuleType("IPython.display")
    ipython.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    return handles


def test_a_cell_has_one_display_that_is_drawn_over(monkeypatch: pytest.MonkeyPatch) -> None:
    handles = notebook(monkeypatch, kernel=True)
    bar = gauge_for("auto")
    assert isinstance(bar, CellBar)
    bar.show("x < y", 0.25, "1 & 2  so far", "<svg></svg>")
    bar.show("x < y", 0.997, "more")
    bar.close()
    ((first, last),) = (handle.shown for handle in handles)
    assert repr(first) == "x < y: 25 %  1 & 2  so far"
    assert 'value="0.2500"' in first._repr_html_()
    assert "x &lt; y" in first._repr_html_()
    assert "25 % &ensp; 1 &amp; 2 &ensp; so far" in first._repr_html_()  # a browser takes two blanks for one
    assert first._repr_html_().endswith("<svg></svg></div>")
    assert repr(last) == "x < y: 99 %  more"


def test_who_asks_otherwise_gets_it_in_a_notebook_too(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook(monkeypatch, kernel=True)
    assert isinstance(gauge_for("plain"), SeldomLines)
    assert isinstance(gauge_for("none"), Silence)


def test_ipython_on_a_terminal_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook(monkeypatch, kernel=False)
    assert not gauge.in_notebook()
    assert isinstance(gauge_for("auto"), SeldomLines)


def test_without_standard_error_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(gauge, "PLAIN_EVERY", 0.0)
    gauge_for("auto").show("x", 0.5, "words")


def test_the_curve_lies_in_its_picture() -> None:
    curve = RecentCurve()
    assert svg(curve, 100) == ""
    for at, values in ((10, [1.0, np.nan]), (20, [2.0, 4.0]), (50, [5.0, 9.0])):
        curve.add(at, np.array(values))
    picture = svg(curve, 100)
    (line,) = re.findall(r'polyline points="([^"]+)"', picture)
    points = [tuple(map(float, point.split(","))) for point in line.split()]
    assert [x for x, _ in points] == [32, 64, 160]
    assert points[0][1] > points[1][1] > points[2][1]
    assert "nan" not in picture
