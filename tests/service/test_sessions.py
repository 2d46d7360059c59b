"""What a recurrent policy remembers: of whom, for how long, and in what order."""

from pathlib import Path
from typing import Any

import numpy as np
import policy_files
import pytest
from serving import Served, one_line

from rlbench.service.answering import Answering
from rlbench.service.refused import Refused
from rlbench.service.sessions import Sessions

ONES = [1, 1, 1, 1]


@pytest.fixture
def adding(tmp_path: Path) -> Served:
    """Its action is the sum of what it has seen."""
    return Served(policy_files.adding(tmp_path / "a.onnx"), tmp_path / "state", max_sessions=3)


def action(served: Served, **more: Any) -> Any:
    return served.predict({"obs": ONES, **more})["action"]


def test_a_session_remembers_and_begins_again(adding: Served) -> None:
    first = adding.predict({"obs": ONES, "session": "a", "begin": True})
    assert first["session"] == "a"
    assert "memory" not in first
    assert [action(adding, session="a") for _ in range(2)] == [[2, 2], [3, 3]]
    assert action(adding, session="a", begin=True) == [1, 1]
    assert adding.post("/sessions/a/reset").json() == {"session": "a"}
    assert [action(adding, session="a") for _ in range(2)] == [[1, 1], [2, 2]]


def test_sessions_do_not_know_of_each_other(adding: Served) -> None:
    action(adding, session="a", begin=True)
    action(adding, session="b", begin=True)
    together = adding.together(*({"obs": ONES, "session": name} for name in "ab"), {"obs": ONES})
    assert [answer.json()["action"] for answer in together] == [[2, 2], [2, 2], [1, 1]]
    assert action(adding, session="a") == [3, 3]


def test_of_those_that_are_computed_together_each_keeps_its_own(adding: Served) -> None:
    held = {"memory": [100] * 4}

    def together(a: int, b: int, **more: Any) -> list[Any]:
        of_sessions = ({"obs": [n] * 4, "session": name, **more} for name, n in (("a", a), ("b", b)))
        answers = adding.together({"obs": [3] * 4, "memory": held}, *of_sessions)
        return [answer.json() for answer in answers]

    assert [answer["action"] for answer in together(1, 2, begin=True)] == [[103, 103], [1, 1], [2, 2]]
    answers = together(4, 1)
    assert [answer["action"] for answer in answers] == [[103, 103], [5, 5], [3, 3]]
    assert answers[0]["memory"] == {"memory": [103] * 4}
    assert [action(adding, session=name) for name in "ab"] == [[6, 6], [4, 4]]


def test_requests_of_one_session_that_arrive_together_are_answered_in_order(adding: Served) -> None:
    action(adding, session="a", begin=True)
    asked = [{"obs": [n] * 4, "session": "a"} for n in (1, 2, 3)]
    answers = adding.together(*asked, {"obs": [7] * 4, "session": "none"})
    assert [answer.json()["action"] for answer in answers[:3]] == [[2, 2], [4, 4], [7, 7]]
    assert answers[3].status_code == 404


def test_a_request_that_does_not_fit_changes_nothing(adding: Served) -> None:
    action(adding, session="a", begin=True)
    assert "shape (2,)" in adding.predict({"obs": [1, 1], "session": "a"}, 422)
    assert action(adding, session="a") == [2, 2]


def test_an_unknown_session_is_never_begun_by_accident(adding: Served) -> None:
    said = adding.predict({"obs": ONES, "session": "a"}, 404)
    assert "no session 'a' is known here" in said
    assert '"begin": true' in said


def test_a_reset_begins_no_session_and_pushes_none_out(adding: Served) -> None:
    for name in "abc":
        action(adding, session=name, begin=True)
    answer = adding.post("/sessions/d/reset")
    assert answer.status_code == 404
    assert "no session 'd' is known here" in one_line(answer)
    assert "no session 'd'" in adding.predict({"obs": ONES, "session": "d"}, 404)
    assert [action(adding, session=name) for name in "abc"] == [[2, 2]] * 3


def test_the_least_recently_used_makes_room_and_is_told(adding: Served) -> None:
    for name in "abc":
        action(adding, session=name, begin=True)
    action(adding, session="a")
    action(adding, session="d", begin=True)
    assert "made room" in adding.predict({"obs": ONES, "session": "b"}, 404)
    assert action(adding, session="a") == [3, 3]
    metrics = adding.get("/metrics").text
    assert "rlbench_sessions 3\n" in metrics
    assert 'rlbench_sessions_forgotten_total{why="room"} 1\n' in metrics


def test_a_worker_in_a_dead_ones_place_goes_on_counting(adding: Served) -> None:
    for name in "abcd":
        action(adding, session=name, begin=True)
    other = Answering(adding.answering.settings, adding.answering.state)
    metrics = adding.get("/metrics").text
    assert "rlbench_sessions 0\n" in metrics
    assert 'rlbench_sessions_forgotten_total{why="room"} 1\n' in metrics
    for name in "abcde":
        other.sessions.keep(name, None)
    other.begin_session("e")
    assert 'rlbench_sessions_forgotten_total{why="room"} 3\n' in adding.get("/metrics").text


def test_a_client_may_keep_what_is_remembered(adding: Served) -> None:
    """Without a session, which several workers do not keep."""
    answer = adding.predict({"obs": ONES})
    assert answer["memory"] == {"memory": ONES}
    assert adding.predict({"obs": ONES, "memory": answer["memory"]})["action"] == [2, 2]
    assert adding.predict({"obs": ONES, "memory": answer["memory"], "begin": True})["action"] == [1, 1]
    batch = adding.predict({"observations": [ONES, ONES], "memory": {"memory": [[5] * 4, [0] * 4]}})
    assert batch["actions"] == [[6, 6], [1, 1]]
    assert batch["memory"]["memory"] == [[6] * 4, [1] * 4]
    again = adding.predict({"observations": [ONES, ONES], "memory": [{"memory": [5] * 4}, {"memory": [0] * 4}]})
    assert again == batch


def test_memory_comes_back_to_the_bit(tmp_path: Path, adding: Served) -> None:
    memory = np.random.default_rng(0).normal(size=4).astype(np.float32)
    given = adding.predict({"obs": [0] * 4, "memory": {"memory": memory.astype(float).tolist()}})["memory"]["memory"]
    assert np.array(given, np.float32).tobytes() == memory.tobytes()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"session": ""}, '"session" is a text where a text of 1 to 128 letters'),
        ({"session": "x" * 129}, "a text of 1 to 128 letters"),
        ({"session": 5}, '"session" is a number where'),
        ({"session": "a", "memory": {"memory": ONES}}, "give one of them"),
        ({"x": 1}, 'expected is "begin", "memory", "obs", "session"'),
        ({"memory": ONES}, '"memory" is a list of 4 where an object with "memory"'),
        ({"memory": {}}, '"memory" is an object where'),
        ({"memory": {"memory": [1]}}, "memory.memory[0] has shape (1,)"),
        ({"memory": {"memory": [1, 1, 1, "a"]}}, "memory.memory[0][3] is a text where a number is expected"),
        ({"memory": {"memory": [1, 1, 1, 1e300]}}, "memory.memory[0] holds 1e+300"),
    ],
)
def test_what_does_not_fit_is_told(adding: Served, more: dict[str, Any], said: str) -> None:
    assert said in adding.predict({"obs": ONES, **more}, 422)


def test_a_batch_hands_back_one_memory_for_each(adding: Served) -> None:
    said = adding.predict({"observations": [ONES, ONES], "memory": {"memory": [ONES]}}, 422)
    assert said == "memory.memory is a list of 1 where one for each observation is expected"
    said = adding.predict({"observations": [ONES, ONES], "memory": [{"memory": ONES}]}, 422)
    assert said == '"memory" is a list of 1 where one for each observation is expected'
    said = adding.predict({"observations": [ONES, ONES], "memory": [{"memory": ONES}, {"x": ONES}]}, 422)
    assert said == 'memory[1] is an object where an object with "memory" is expected'


def test_several_workers_keep_no_sessions(tmp_path: Path) -> None:
    served = Served(policy_files.adding(tmp_path / "a.onnx"), tmp_path / "state", workers=2)
    assert 'expected is "begin", "memory", "obs"' in served.predict({"obs": ONES, "x": 1}, 422)
    assert "hand back the memory" in served.predict({"obs": ONES, "session": "a", "begin": True}, 422)
    assert served.post("/sessions/a/reset").status_code == 404
    assert served.get("/spec").json()["sessions"] is False
    assert served.predict({"obs": ONES})["memory"] == {"memory": ONES}


def test_a_policy_without_memory_has_nothing_to_reset(tmp_path: Path) -> None:
    served = Served(policy_files.linear(tmp_path / "a.onnx"), tmp_path / "state")
    answer = served.post("/sessions/a/reset")
    assert answer.status_code == 404
    assert "remembers nothing" in one_line(answer)


def test_a_session_has_a_name_of_some_letters(adding: Served) -> None:
    answer = adding.post(f"/sessions/{'x' * 129}/reset")
    assert answer.status_code == 422
    assert "at most 128 characters" in one_line(answer)


def test_a_session_expires_and_is_counted() -> None:
    now = 0.0
    sessions = Sessions(10, 5.0, clock=lambda: now)
    sessions.keep("a", {"memory": np.ones((1, 4))})
    now = 3.0
    sessions.keep("b", None)
    now = 4.9
    assert sessions.recall("a") is not None
    assert sessions.recall("b") is None
    now = 5.0
    with pytest.raises(Refused) as caught:
        sessions.recall("a")
    assert caught.value.status == 404
    assert (len(sessions), sessions.expired, sessions.evicted) == (1, 1, 0)
    now = 8.0
    assert len(sessions) == 0


def test_what_is_kept_is_a_copy() -> None:
    sessions, memory = Sessions(10, 5.0), np.ones((1, 4))
    sessions.keep("a", {"memory": memory})
    memory[:] = 7
    kept = sessions.recall("a")
    assert kept is not None
    assert kept["memory"].tolist() == [[1, 1, 1, 1]]
