"""A file that was swapped on disk is served when somebody who may asks for it, and not before."""

import hmac
import os
from pathlib import Path
from typing import Any

import policy_files
import pytest
from serving import Served, one_line, running

from rlbench.policyfile.metadata import Box
from rlbench.policyfile.opened import open_policy
from rlbench.service.answering import Answering
from rlbench.service.settings import Settings
from rlbench.service.state import SharedState

OBS = [0.5, -1.0, 2.0, 0.25]
MAY = {"authorization": "Bearer secret"}


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served(policy_files.linear(tmp_path / "a.onnx"), tmp_path / "state", token=b"secret")


def test_a_swapped_file_is_taken_up_when_asked_for(served: Served, tmp_path: Path) -> None:
    before = served.predict({"obs": OBS})
    policy_files.linear(tmp_path / "a.onnx", seed=1)
    digest = open_policy(tmp_path / "a.onnx").digest
    assert served.predict({"obs": OBS}) == before
    answer = served.post("/reload", headers=MAY)
    assert answer.json() == {"digest": digest, "generation": 2, "workers": 1}
    after = served.predict({"obs": OBS})
    assert after["digest"] == digest
    assert after["values"] != before["values"]
    assert "rlbench_policy_generation 2\n" in served.get("/metrics").text
    assert served.post("/reload", headers=MAY).json()["generation"] == 2  # nothing has changed since
    assert [path.name for path in (tmp_path / "state").glob("policy-*")] == ["policy-2.onnx"]


def test_spaces_whose_numbers_have_bounds_of_their_own_are_compared(tmp_path: Path) -> None:
    file = policy_files.linear(tmp_path / "a.onnx")
    box = Box(shape=(4,), dtype="float32", low=[-1.0, -2.0, None, -1.0], high=[1.0, 2.0, None, 1.0])
    told = open_policy(file).metadata.model_copy(update={"obs": box})
    policy_files.redescribed(file, file, told)
    served = Served(file, tmp_path / "state", token=b"secret")
    served.predict({"obs": OBS})
    policy_files.redescribed(policy_files.linear(file, seed=1), file, told)
    assert served.post("/reload", headers=MAY).json()["generation"] == 2
    narrow = box.model_copy(update={"high": [1.0, 2.0, None, 0.5]})
    policy_files.redescribed(file, file, told.model_copy(update={"obs": narrow}))
    answer = served.post("/reload", headers=MAY)
    assert answer.status_code == 409
    assert "it is of other observations" in one_line(answer)


@pytest.mark.parametrize(
    ("header", "status"),
    [({}, 401), ({"authorization": "Bearer secrets"}, 403), ({"authorization": "secret"}, 401),
     ({"authorization": "Bearer "}, 401), ({"authorization": "bearer \xe9".encode("latin-1")}, 403), (MAY, 200),
     ({"authorization": "bearer secret"}, 200), ({"authorization": "BEARER  secret"}, 200)],
)  # fmt: skip
def test_a_token_is_needed(served: Served, header: dict[str, Any], status: int) -> None:
    answer = served.post("/reload", headers=header)
    assert answer.status_code == status
    assert status == 200 or "Authorization: Bearer TOKEN" in one_line(answer)
    assert answer.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)


def test_how_long_a_wrong_token_takes_tells_nothing_of_it(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(given: bytes, token: bytes) -> bool:
        compared.append((given, token))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert served.post("/reload", headers=MAY).status_code == 403
    assert compared == [(b"secret", b"secret")]


def test_without_a_token_nobody_reloads(tmp_path: Path) -> None:
    served = Served(policy_files.linear(tmp_path / "a.onnx"), tmp_path / "state")
    for headers in ({}, MAY, {"authorization": "Bearer None"}):
        answer = served.post("/reload", headers=headers)
        assert answer.status_code == 404
        assert "RLBENCH_RELOAD_TOKEN" in one_line(answer)


def test_what_does_not_fit_in_its_place_is_refused_and_the_old_one_kept(served: Served, tmp_path: Path) -> None:
    before, file = served.predict({"obs": OBS}), tmp_path / "a.onnx"
    old = file.read_bytes()

    def refused() -> str:
        answer = served.post("/reload", headers=MAY)
        assert answer.status_code == 409
        assert served.predict({"obs": OBS}) == before
        return one_line(answer)

    policy_files.looked_up(file)
    assert "other observations" in (said := refused())
    assert "Discrete(5) in place of Box((4,), float32, -5 to 5)" in said
    policy_files.masked(file)
    assert "other actions" in refused()
    file.write_bytes(old[: len(old) // 2])
    assert "damaged" in refused()
    file.write_bytes(b"")
    refused()
    file.unlink()
    assert "there is no file a.onnx. The policy that was served before still is" in refused()
    file.write_bytes(old)
    assert served.post("/reload", headers=MAY).status_code == 200


def test_a_run_that_was_exported_for_the_service_is_not_reloaded(tmp_path: Path) -> None:
    served = Served(policy_files.linear(tmp_path / "a.onnx"), tmp_path / "state", token=b"secret", source=None)
    answer = served.post("/reload", headers=MAY)
    assert answer.status_code == 409
    assert "serve a file" in one_line(answer)


def test_one_reload_at_a_time(served: Served) -> None:
    with served.answering.state.reloading() as mine:
        assert mine
        answer = served.post("/reload", headers=MAY)
    assert (answer.status_code, one_line(answer)) == (409, "another reload is under way")


def test_sessions_end_with_the_policy_that_remembered(tmp_path: Path) -> None:
    served = Served(policy_files.adding(tmp_path / "a.onnx"), tmp_path / "state", token=b"secret")
    served.predict({"obs": OBS, "session": "a", "begin": True})
    (tmp_path / "a.onnx").write_bytes((tmp_path / "a.onnx").read_bytes() + b"")
    assert served.post("/reload", headers=MAY).json()["generation"] == 1
    served.predict({"obs": OBS, "session": "a"})
    model = policy_files.adding(tmp_path / "b.onnx")
    described = open_policy(model).metadata.model_copy(update={"env_steps": 2000})
    policy_files.redescribed(model, tmp_path / "a.onnx", described)
    assert served.post("/reload", headers=MAY).json()["generation"] == 2
    served.predict({"obs": OBS, "session": "a"}, 404)


def test_another_worker_takes_it_up_before_its_next_answer(tmp_path: Path) -> None:
    served = Served(policy_files.linear(tmp_path / "a.onnx"), tmp_path / "state", token=b"secret", workers=2)
    settings: Settings = served.answering.settings
    other = Answering(settings, SharedState(settings.state, 2, 1))
    policy_files.linear(tmp_path / "a.onnx", seed=1)
    assert served.post("/reload", headers=MAY).json()["workers"] == 1
    assert other.file.digest != served.answering.file.digest
    other.sweep()
    assert other.file.digest == served.answering.file.digest
    # One that begins later, in the place of a dead one, serves what was asked for, and not what lies on disk now.
    policy_files.linear(tmp_path / "a.onnx", seed=2)
    assert Answering(settings, SharedState(settings.state, 2, 1)).file.digest == other.file.digest


@pytest.mark.slow
def test_all_of_several_workers_take_it_up(tmp_path: Path) -> None:
    file = policy_files.linear(tmp_path / "a.onnx")
    (tmp_path / "token").write_text("secret\n")
    with running(file, "--workers", "2", "--reload-token-file", tmp_path / "token") as service:
        policy_files.linear(tmp_path / "b.onnx", seed=1)
        os.replace(tmp_path / "b.onnx", file)
        digest = open_policy(file).digest
        assert {service.ask("/predict", {"obs": OBS})[1]["digest"] for _ in range(20)}.isdisjoint({digest})
        status, answer = service.ask("/reload", {}, Authorization="Bearer secret")
        assert (status, answer) == (200, {"digest": digest, "generation": 2, "workers": 2})
        assert {service.ask("/predict", {"obs": OBS})[1]["digest"] for _ in range(40)} == {digest}
        file.write_bytes(b"broken")
        assert service.ask("/reload", {}, Authorization="Bearer secret")[0] == 409
        assert {service.ask("/predict", {"obs": OBS})[1]["digest"] for _ in range(20)} == {digest}
        assert service.end() == (0, "")
