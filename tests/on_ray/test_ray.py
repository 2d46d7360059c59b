"""The Ray engine, as far as it goes without a cluster: settings, sizes, and all that is said when something is amiss.

A process of the test's own stands where the one that speaks to Ray would; `experiments/drills/ray.py` has a real one.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlbench.cells.order import Order
from rlbench.driving.engines import open_engine
from rlbench.engines.engine import CellEnd, Needs
from rlbench.errors import RlbenchError, UsageError
from rlbench.on_ray import engine as engine_of_ray
from rlbench.on_ray.engine import Ray
from rlbench.on_ray.nodes import Node

GIB = 2**30
NODES = [
    {"id": "a", "host": "small", "cpus": 2, "gpus": 0, "memory": 4 * GIB},
    {"id": "b", "host": "large", "cpus": 8, "gpus": 1, "memory": 16 * GIB},
]
#: Answers as the process that is connected to a cluster does, and writes down what it was asked.
STAND_IN = """
import json, os, sys
place, nodes = sys.argv[1], json.loads(sys.argv[2])
def tell(content):
    os.write(1, (json.dumps(content) + "\\n").encode())
for line in sys.stdin:
    with open(place, "a") as file:
        file.write(line)
    asked = json.loads(line)
    if "connect" in asked:
        address = asked["connect"]["address"]
        if address == "locked:1":
            print("gcs_client.cc: RPC error: InvalidAuthToken: missing", file=sys.stderr, flush=True)
            tell({"refused": "cannot work with the Ray cluster"})
            sys.exit(2)
        if address == "nowhere:1":
            tell({"refused": "no Ray cluster answers at nowhere:1"})
            sys.exit(2)
        tell({"nodes": nodes, "notes": ["a note"] if address else []})
    elif "begin" in asked:
        cell = asked["begin"]["cell"]
        if cell == "fatal":
            sys.exit(1)
        if cell == "lost":
            tell({"ended": cell, "code": None, "said": "its node is gone"})
            tell({"nodes": nodes[:1]})
        elif cell == "cut":
            tell({"lost": "its part on this machine was ended"})
        elif cell == "done":
            text = json.dumps({"ended": cell, "code": 0, "said": "", "peak": 7, "where": "large"}) + "\\n"
            os.write(1, text[:9].encode()); os.write(1, text[9:].encode())
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of what was asked for; engines speak to the stand-in, and Ray counts as installed."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(engine_of_ray, "installed", lambda: True)
    place = tmp_path / "asked"
    monkeypatch.setattr(engine_of_ray, "COMMAND", (sys.executable, "-c", STAND_IN, str(place), json.dumps(NODES)))
    return place


@pytest.fixture
def engine(tmp_path: Path, asked: Path) -> Iterator[Ray]:
    found = Ray(tmp_path / "engine", {})
    yield found
    found.close()


def order(cell: str, store: str = "") -> Order:
    return Order(cell, f"/nowhere/{cell}", {}, store=store)


def told(place: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in place.read_text().splitlines()]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"adress": "x:1"}, "knows no 'adress'. Did you mean address?"),
        ({"address": 6379}, r"\[ray\] address: must be a text, got 6379"),
        ({"address": "x:1", "cores": 2}, r"\[ray\] cores: is of a cluster that is started here"),
        ({"cores": 0}, r"\[ray\] cores: must be a number of at least 1, got 0"),
        ({"ahead": "two"}, r"\[ray\] ahead: must be a number of at least 0, got 'two'"),
    ],
)
def test_a_wrong_setting_is_told(settings: dict[str, Any], said: str, tmp_path: Path, asked: Path) -> None:
    with pytest.raises(UsageError, match=said):
        open_engine("ray", tmp_path, settings)


def test_the_extra_is_named_where_ray_is_missing(tmp_path: Path, asked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_of_ray, "installed", lambda: False)
    with pytest.raises(UsageError, match=r"pip install 'rlbench\[ray\]'"):
        open_engine("ray", tmp_path, {})


def test_nothing_is_written_before_a_cell_begins(engine: Ray) -> None:
    assert engine.check(Needs()) == []
    assert not engine.place.exists()
    engine.begin(order("done"), Needs())
    assert (engine.place / "seen").read_text().strip()
    assert engine.queued() == {"done"}  # as far as Ray tells


def test_the_address_comes_from_the_environment_too(
    tmp_path: Path, asked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "there:6379")
    engine = Ray(tmp_path / "engine", {})
    assert engine.check(Needs()) == ["a note"]
    engine.close()
    assert told(asked)[0]["connect"]["address"] == "there:6379"


def test_what_refuses_is_told_as_it_is(tmp_path: Path, asked: Path) -> None:
    with pytest.raises(UsageError, match=r"^no Ray cluster answers at nowhere:1$"):
        Ray(tmp_path, {"address": "nowhere:1"}).check(Needs())


def test_a_cluster_that_wants_a_token_is_told(tmp_path: Path, asked: Path) -> None:
    with pytest.raises(UsageError, match=r"^the Ray cluster at locked:1 asks for its token.*RAY_AUTH_MODE=token"):
        Ray(tmp_path, {"address": "locked:1"}).check(Needs())


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        (
            Needs(cpus=16),
            r"16 cores, and no node .* the largest of 2 nodes, large, has 8 cores, 1 card, 16.0 GiB of memory",
        ),
        (Needs(memory=32 * GIB), "1 core, 32.0 GiB of memory, and no node of the Ray cluster has that"),
        (Needs(gpus=2), "1 core, 2 cards, and no node"),
        (Needs(cpus=4, gpus=0.5, memory=17 * GIB), "no node"),
        (Needs(gpus=1.5), r"\[resources\] gpus: Ray deals out a part of one card, or whole ones; got 1.5. Take 2."),
    ],
)
def test_what_no_node_has_is_told_before_anything_starts(engine: Ray, needs: Needs, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        engine.check(needs)


def test_a_cluster_that_grows_is_waited_for(tmp_path: Path, asked: Path) -> None:
    engine = Ray(tmp_path / "engine", {"ahead": 3})
    (note,) = engine.check(Needs(cpus=16))
    assert "no node of the Ray cluster has that" in note
    assert engine.free(Needs(cpus=16)) == 3
    engine.close()


def test_room_is_what_the_nodes_have(engine: Ray) -> None:
    engine.check(Needs())
    assert engine.free(Needs()) == 10
    assert engine.free(Needs(cpus=3)) == 2
    assert engine.free(Needs(gpus=0.25)) == 4
    assert engine.free(Needs(memory=3 * GIB)) == 6
    engine.begin(order("in hand"), Needs())
    assert engine.free(Needs()) == 9
    engine.begin(order("lost"), Needs())
    assert engine.wait(5) == [CellEnd("lost", None, "its node is gone")]
    until = time.monotonic() + 5
    while engine.free(Needs()) != 1 and time.monotonic() < until:  # the larger node is gone
        engine.wait(0.01)
    assert engine.free(Needs()) == 1


def test_an_end_is_told_once_and_whole(engine: Ray) -> None:
    engine.check(Needs())
    engine.begin(order("done"), Needs())
    assert engine.wait(5) == [CellEnd("done", 0, "", 7, "large")]
    began = time.monotonic()
    assert engine.wait(0.1) == []
    assert time.monotonic() - began >= 0.1


def test_a_cell_takes_with_it_what_it_needs(engine: Ray, asked: Path) -> None:
    """And the mark of the sweep's folder, unless it has a store."""
    engine.begin(order("one"), Needs(2, 0.5, 3))
    engine.begin(order("other", store="memory://x"), Needs())
    engine.close()
    first, second = (line["begin"] for line in told(asked) if "begin" in line)
    assert (first["cpus"], first["gpus"], first["memory"]) == (2, 0.5, 3)
    assert Order.from_json(first["order"]) == order("one")
    path, token = first["mark"]
    assert Path(path).read_text().strip() == token
    assert second["mark"] is None


@pytest.mark.parametrize("cell", ["fatal", "cut"])
def test_a_cluster_that_is_gone_is_one_line(engine: Ray, cell: str) -> None:
    engine.check(Needs())
    engine.begin(order(cell), Needs())
    with pytest.raises(RlbenchError, match=r"^the Ray cluster on this machine is gone: [^\n]*$") as raised:
        engine.wait(5)
    assert raised.value.exit_code == 1
    engine.stop()  # there is nobody to ask, and nothing to close
    engine.close()


def test_a_node_that_is_too_small_by_rounding_is_not() -> None:
    assert Node("a", "x", 1, 0.3, 0).fits(Needs(0.1, 0.1)) == 3


def test_stop_is_asked_for_and_insisted_on(engine: Ray, asked: Path) -> None:
    engine.check(Needs())
    engine.stop()
    engine.stop(insist=True)
    engine.close()
    assert [line["stop"] for line in told(asked) if "stop" in line] == ["save", "insist"]
    assert os.environ.get("RAY_USAGE_STATS_ENABLED") != "0"  # of the process that speaks to Ray alone
