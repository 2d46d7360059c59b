"""`POST /predict`: answers are the policy's own, whatever its space; what does not fit is told in one line."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import policy_files
import pytest
from serving import Served, one_line

from rlbench.policyfile.opened import open_policy

OBS = [0.5, -1.0, 2.0, 0.25]


@pytest.fixture
def mlp(tmp_path: Path) -> Served:
    return Served(policy_files.linear(tmp_path / "a.onnx", hidden=8), tmp_path / "state")


def test_an_answer_is_the_files(mlp: Served, tmp_path: Path) -> None:
    file = open_policy(tmp_path / "a.onnx")
    observations = np.random.default_rng(0).uniform(-5, 5, (40, 4)).round(3).tolist()
    wanted = file(file.inputs(observations))
    assert set(wanted["action"].tolist()) == {0, 1}
    for i, obs in enumerate(observations[:5]):
        answer = mlp.predict({"obs": obs})
        assert answer.keys() == {"action", "values", "digest"}
        assert answer["action"] == wanted["action"][i]
        assert np.allclose(answer["values"]["q_values"], wanted["q_values"][i], atol=1e-6)
        assert answer["digest"] == file.digest
    batch = mlp.predict({"observations": observations})
    assert batch["actions"] == wanted["action"].tolist()
    assert np.array_equal(np.array(batch["values"]["q_values"], np.float32), wanted["q_values"])


@pytest.mark.parametrize("batching", [True, False])
def test_what_arrives_together_is_answered_apart(batching: bool, tmp_path: Path) -> None:
    how: dict[str, Any] = {} if batching else {"batch_wait": 0.0}
    served = Served(policy_files.linear(tmp_path / "a.onnx"), tmp_path / "state", **how)
    file = open_policy(tmp_path / "a.onnx")
    observations = np.random.default_rng(0).uniform(-5, 5, (20, 4)).round(3).tolist()
    bad: list[Any] = [{"obs": [0, 0, 0, 9]}, {"observations": [OBS, [1]]}, {"obs": OBS, "x": 1}]
    answers = served.together(*bad, *({"obs": obs} for obs in observations), {"observations": observations})
    assert [one_line(answer).partition(" where")[0] for answer in answers[:3]] == [
        "obs holds 9", "observations[1] has shape (1,)",
        "beside \"obs\" there is 'x': expected is \"obs\"",
    ]  # fmt: skip
    alone = [file(file.inputs([obs]))["action"][0] for obs in observations]
    assert [answer.json()["action"] for answer in answers[3:-1]] == alone
    assert answers[-1].json()["actions"] == alone
    batches = [line for line in served.get("/metrics").text.splitlines() if "batch_observations_count" in line]
    computed = int(batches[0].split()[1])
    assert computed == (1 if batching else 21)


def test_a_table_answers_indices(tmp_path: Path) -> None:
    served = Served(policy_files.looked_up(tmp_path / "a.onnx"), tmp_path / "state")
    file = open_policy(tmp_path / "a.onnx")
    wanted = file(file.inputs(list(range(5))))["action"].tolist()
    assert [served.predict({"obs": i})["action"] for i in range(5)] == wanted
    assert served.predict({"obs": 5}, 422) == "obs holds 5 where a whole number from 0 to 4 is expected"
    assert "a bool" in served.predict({"obs": True}, 422)


def test_pictures_are_nested_lists_of_bytes(tmp_path: Path) -> None:
    served = Served(policy_files.pixels(tmp_path / "a.onnx"), tmp_path / "state")
    assert served.predict({"obs": [[1, 2, 3], [9, 0, 0]]}) == {
        "action": 1, "values": {"q_values": [6.0, 9.0]}, "digest": served.answering.file.digest,
    }  # fmt: skip
    said = "from 0 to 255 are expected"
    assert said in served.predict({"obs": [[1, 2, 256], [9, 0, 0]]}, 422)
    assert said in served.predict({"obs": [[1, 2, 0.5], [9, 0, 0]]}, 422)
    assert said in served.predict({"obs": [[1, 2], [9, 0, 0]]}, 422)


def test_an_object_is_told_apart_by_its_keys_and_an_action_may_be_numbers(tmp_path: Path) -> None:
    served = Served(policy_files.nested(tmp_path / "a.onnx"), tmp_path / "state")
    assert served.predict({"obs": {"index": 2, "place": [0.5, -1]}})["action"] == [2.5, 1.0]
    several = [{"index": 1, "place": [0, 0]}, {"place": [1, 2], "index": 3}]
    assert served.predict({"observations": several})["actions"] == [[1.0, 1.0], [4.0, 5.0]]
    assert served.predict({"obs": {"index": 2}}, 422).startswith("obs lacks 'place'")
    said = served.predict({"observations": [*several, {"index": 0, "place": [0, 0]}]}, 422)
    assert said == "observations[2].index holds 0 where a whole number from 1 to 3 is expected"


def test_a_mask_leaves_what_is_legal(tmp_path: Path) -> None:
    served = Served(policy_files.masked(tmp_path / "a.onnx"), tmp_path / "state")
    obs = [1, 2, 3, 4]
    assert served.predict({"obs": obs})["action"] == 3
    assert served.predict({"obs": obs, "action_mask": [True, True, False, False]})["action"] == 1
    assert served.predict({"obs": obs, "action_mask": [1, 0, 0, 0]})["action"] == 0
    masks = [[True] * 4, [False, False, True, False]]
    assert served.predict({"observations": [obs, obs], "action_masks": masks})["actions"] == [3, 2]
    together = served.together(
        {"obs": obs}, {"obs": obs, "action_mask": [1, 0, 0, 0]}, {"obs": obs, "action_mask": [2]}
    )
    assert [answer.json().get("action") for answer in together] == [3, 0, None]
    several, one = served.together({"observations": [obs, obs]}, {"obs": obs, "action_mask": [1, 0, 0, 0]})
    assert (several.json()["actions"], one.json()["action"]) == ([3, 3], 0)
    assert "allows no action" in served.predict({"obs": obs, "action_mask": [False] * 4}, 422)
    assert "action_mask" in served.predict({"obs": obs, "action_mask": [True] * 3}, 422)
    assert "one for each" in served.predict({"observations": [obs, obs], "action_masks": [[True] * 4]}, 422)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1], "the body is a list of 1 where an object"),
        ({}, 'either "obs", one observation, or "observations", a list of them: here is neither'),
        ({"obs": OBS, "observations": [OBS]}, "here is both of them"),
        ({"obs": OBS, "seed": 1}, 'beside "obs" there is \'seed\': expected is "obs"'),
        ({"obs": OBS[:3]}, "obs has shape (3,) where finite numbers of shape (4,) from -5 to 5"),
        ({"obs": [*OBS[:3], "1"]}, "obs[3] is a text where a number is expected"),
        ({"obs": [*OBS[:3], None]}, "obs[3] is null where a number is expected"),
        ({"obs": [*OBS[:3], True]}, "obs[3] is a bool where a number is expected"),
        ({"obs": [OBS]}, "obs has shape (1, 4) where"),
        ({"obs": {"a": 1}}, "obs is an object where finite numbers of shape (4,) from -5 to 5 are expected"),
        ({"obs": [*OBS[:3], 1e30]}, "obs holds 1e+30 where"),
        ({"observations": []}, '"observations" is a list of 0 where a list of one or more'),
        ({"observations": {"a": OBS}}, '"observations" is an object where'),
        ({"observations": [OBS] * 1025}, "at most 1,024 are taken"),
        ({"obs": OBS, "action_mask": [True, True]}, "this policy takes no action_mask"),
        ({"obs": OBS, "session": "a"}, "this policy remembers nothing"),
        ({"obs": OBS, "memory": {}}, "this policy remembers nothing"),
        ({"obs": OBS, "begin": "yes"}, '"begin" is a text where true or false'),
    ],
)
def test_what_does_not_fit_gets_422_and_what_was_expected(mlp: Served, content: Any, said: str) -> None:
    assert said in mlp.predict(content, 422)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "no JSON"),
        (b'{"obs": [1, 2', 400, "no JSON"),
        (b'{"obs": [1,2,3,4]}x', 400, "no JSON"),
        ('{"obs": [1,2,3,4]}'.encode("utf-16"), 400, "no JSON"),
        (b'{"obs": "\xff\xfe"}', 400, "UTF-8"),
        (b"[" * 100_000, 400, "no JSON"),
        (b"[" * 500 + b"]" * 500, 422, "a list of 1 where an object"),
        (b'{"obs": ' + b"[" * 1000 + b"]" * 1000 + b"}", 422, "obs[0][0] is a list of 1 where a number"),
        (b'{"obs": [NaN, 1, 2, 3]}', 422, "finite numbers of shape (4,)"),
        (b'{"obs": [-Infinity, 1, 2, 3]}', 422, "finite numbers of shape (4,)"),
        (b'{"obs": [1e999, 1, 2, 3]}', 422, "finite numbers of shape (4,)"),
        (b'{"obs": [1e999, 1, 2, 3', 400, "no JSON"),
        (b'{"obs": [' + b"9" * 10_000 + b", 1, 2, 3]}", 422, "finite numbers"),
    ],
)
def test_what_is_no_json_or_no_number(mlp: Served, body: bytes, status: int, said: str) -> None:
    answer = mlp.post("/predict", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert said in one_line(answer)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"content-type": "text/plain"}, "application/json is expected, and it is text/plain"),
        ({}, "application/json is expected, and there is none"),
        ({"content-type": "application/json; charset=utf-16"}, "this is utf-16"),
        ({"content-type": "application/json", "content-encoding": "gzip"}, "the body is gzip: send it as it is"),
    ],
)
def test_other_media_get_415(mlp: Served, headers: dict[str, str], said: str) -> None:
    answer = mlp.post("/predict", content=b'{"obs": [1, 2, 3, 4]}', headers=headers)
    assert answer.status_code == 415
    assert said in one_line(answer)


def test_json_may_say_that_it_is_utf_8(mlp: Served) -> None:
    for media in ("application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'):
        assert mlp.post("/predict", content=b'{"obs": [1, 2, 3, 4]}', headers={"content-type": media}).is_success


def test_a_body_is_limited(tmp_path: Path) -> None:
    served = Served(policy_files.linear(tmp_path / "a.onnx"), tmp_path / "state", max_body=1000)
    for size in (1001, 5000, 500_000):
        answer = served.post("/predict", content=b"x" * size, headers={"content-type": "application/json"})
        assert (answer.status_code, one_line(answer)) == (413, "the body is larger than 1 KiB")
    assert ("connection" in answer.headers) is True  # nobody reads half a megabyte to say no
    assert served.predict({"obs": OBS})


def test_a_body_that_comes_in_parts_is_limited_as_it_comes(tmp_path: Path) -> None:
    """Nobody says beforehand how long it is."""
    served = Served(policy_files.linear(tmp_path / "a.onnx"), tmp_path / "state", max_body=1000)
    read = 0

    async def parts(*all_of_them: bytes) -> AsyncIterator[bytes]:
        nonlocal read
        for part in all_of_them:
            read += 1
            yield part

    def sent(*all_of_them: bytes) -> httpx.Response:
        return served.post("/predict", content=parts(*all_of_them), headers={"content-type": "application/json"})

    assert sent(b'{"obs": [0, ', b"0, 0, ", b"0]}").json()["action"] in (0, 1)
    assert sent(b'{"obs": [0, 0, 0, 0]}', *[b" " * 100] * 9).is_success
    for spaces in (10, 70, 10_000):
        read = 0
        answer = sent(b'{"obs": [0, 0, 0, 0]}', *[b" " * 100] * spaces)
        assert (answer.status_code, one_line(answer)) == (413, "the body is larger than 1 KiB")
        assert read == min(spaces + 1, 81)  # eight times the limit, and then the client hears no more
    assert answer.headers["connection"] == "close"


def test_other_methods_get_405(mlp: Served) -> None:
    answer = mlp.get("/predict")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert "POST" in one_line(answer)
    assert mlp.post("/spec").status_code == 405


def test_what_is_not_there_gets_404(mlp: Served) -> None:
    for path in ("/", "/predict/", "/predictions", "/sessions", "/%00"):
        answer = mlp.get(path)
        assert answer.status_code == 404, path
        assert "POST /predict" in one_line(answer)


def test_a_full_queue_gets_503_and_when_to_come_again(tmp_path: Path) -> None:
    served = Served(policy_files.linear(tmp_path / "a.onnx"), tmp_path / "state", max_queue=3, batch_wait=0.2)
    answers = served.together(*[{"obs": OBS}] * 8)
    codes = [answer.status_code for answer in answers]
    assert sorted(codes) == [200] * 3 + [503] * 5
    late = next(answer for answer in answers if answer.status_code == 503)
    assert late.headers["retry-after"] == "1"
    assert "3 predictions are under way" in one_line(late)
    assert served.predict({"obs": OBS})
