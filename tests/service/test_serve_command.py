"""`rlbench serve`: what a user gets wrong is one line, and what it does not need is not imported."""

import faulthandler
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import policy_files
import pytest
from command import CARTPOLE, mistake, one_line, process, rlbench, succeeds
from serving import running

from rlbench.policyfile.metadata import PolicyFileError
from rlbench.policyfile.opened import open_policy
from rlbench.service import sockets
from rlbench.service.policy import read

OBS = [0.5, -1.0, 2.0, 0.25]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return policy_files.linear(tmp_path / "a.onnx")


@pytest.fixture(autouse=True)
def _ends() -> Iterator[None]:
    """A file that is served where it should be refused is served for ever: here, until this process is ended."""
    faulthandler.dump_traceback_later(120, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.mark.parametrize(
    ("name", "why"),
    [("a.ts", "is TorchScript, which can run code"), ("a.pt", "is TorchScript, which can run code"),
     ("a.pt2", "is a pt2 file, which can run code"), ("a.toml", "ends with none of these")],
)  # fmt: skip
def test_only_onnx_is_served(name: str, why: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    result = rlbench("serve", tmp_path / name)
    assert result.exit_code == 2
    said = one_line(result)
    assert "only .onnx is served: " in said
    assert f"{name} {why}" in said
    assert "rlbench export RUN --to onnx --out policy.onnx" in said


def test_a_checkpoint_is_to_be_exported(tmp_path: Path) -> None:
    (tmp_path / "best.pth").write_bytes(b"x")
    result = rlbench("serve", tmp_path / "best.pth")
    assert result.exit_code == 2
    assert f"rlbench export {tmp_path / 'best.pth'} --to onnx --out policy.onnx" in one_line(result)


def test_a_file_that_is_not_there_is_a_wrong_request(tmp_path: Path) -> None:
    result = rlbench("serve", tmp_path / "a.onnx")
    assert (result.exit_code, one_line(result)) == (2, f"Error: there is no file {tmp_path / 'a.onnx'}")
    (tmp_path / "a.onnx").mkdir()
    assert "is no run folder" in mistake("serve", tmp_path / "a.onnx")


def test_what_is_no_regular_file_is_told_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.onnx")
    with process("serve", tmp_path / "a.onnx") as command:
        try:
            out, err = command.communicate(timeout=30)
        finally:
            command.kill()
    assert (command.returncode, out) == (2, "")
    assert err == f"Error: {tmp_path / 'a.onnx'} is no regular file: name one that `rlbench export` wrote\n"
    with pytest.raises(PolicyFileError, match="is no regular file"):
        open_policy(tmp_path / "a.onnx")


def test_a_name_may_be_in_capitals(tmp_path: Path) -> None:
    file = policy_files.linear(tmp_path / "A.ONNX")
    assert open_policy(file).kind == "onnx"
    assert read(file, "A.ONNX") == file.read_bytes()


@pytest.mark.parametrize("name", ["fastapi", "uvicorn", "orjson", "onnxruntime", "httptools"])
def test_what_is_not_installed_is_named(name: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    said = mistake("serve", file)
    assert said == f"Error: this needs {name}, which is not installed. Run: pip install 'rlbench[serve]'"


def test_a_damaged_or_foreign_file_is_told(file: Path, tmp_path: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:200])
    assert f"{file} is damaged, or no onnx file" in mistake("serve", file)
    file.write_bytes(b"")
    assert f"{file} is damaged, or no onnx file" in mistake("serve", file)
    policy_files.foreign(tmp_path / "foreign.onnx")
    assert "says nothing of rlbench" in mistake("serve", tmp_path / "foreign.onnx")


def test_a_file_that_does_not_do_what_it_says_is_told(file: Path, tmp_path: Path) -> None:
    metadata = open_policy(file).metadata
    said = metadata.model_copy(
        update={"outputs": [metadata.outputs[0], metadata.outputs[1].model_copy(update={"shape": (3,)})]}
    )
    policy_files.redescribed(file, tmp_path / "b.onnx", said)
    assert "gives q_values as float32 (2,), its metadata says float32 (3,)" in mistake("serve", tmp_path / "b.onnx")
    said = metadata.model_copy(update={"obs": metadata.obs.model_copy(update={"shape": (5,)})})
    policy_files.redescribed(file, tmp_path / "c.onnx", said)
    assert "does not take what its metadata says" in mistake("serve", tmp_path / "c.onnx")


def test_a_port_in_use_is_told(file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for workers in ("1", "2"):
            result = rlbench("serve", file, "--port", str(port), "--workers", workers)
            assert result.exit_code == 1
            assert one_line(result) == (
                f"Error: port {port} of 127.0.0.1 is in use. Take another: --port {port + 1}, or --port 0 for any"
            )


def test_several_workers_do_not_share_a_port_with_another_service(file: Path) -> None:
    """Each has a queue of its own at the same port, which the system gives to others who ask for one, too."""
    taken = sockets.listen("127.0.0.1", 0, 2)
    try:
        port = taken[0][0].getsockname()[1]
        assert port == taken[1][0].getsockname()[1]
        assert "is in use" in mistake("serve", file, "--port", str(port), "--workers", "2")
    finally:
        for one in {one for mine in taken for one in mine}:
            one.close()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "no.such.host.invalid"], "--host no.such.host.invalid: no such host is known"),
        (["--host", "192.0.2.1"], "--host 192.0.2.1: no address of this machine. 127.0.0.1 is for it alone"),
        (["--host", ""], "an empty text"),
        (["--port", "70000"], "70000 is not in the range"),
        (["--workers", "0"], "0 is not in the range"),
        (["--batch-wait", "-1"], "-1.0 is not in the range"),
        (["--reload-token-file", "nowhere"], "nowhere cannot be read: No such file"),
        (["--agent", "a.py:B"], "--seed, --agent, --env and --import are for a run"),
    ],
)
def test_what_cannot_be_is_told(file: Path, words: list[str], said: str) -> None:
    assert said in mistake("serve", file, *words)


@pytest.mark.parametrize(("host", "url"), [("::1", "http://[::1]:"), ("localhost", "http://127.0.0.1:")])
def test_other_names_of_this_machine(host: str, url: str, file: Path) -> None:
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        pytest.skip(f"{host} is no address here")
    with running(file, "--host", host) as service:
        assert service.url.startswith((url, "http://[::1]:"))
        assert service.ask("/healthz")[0] == 200


def test_no_room_for_what_workers_share(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rlbench.service.answering.begin_state", full)
    result = rlbench("serve", file)
    assert result.exit_code == 1
    assert "No space left on device. It lies where the variable TMPDIR says" in one_line(result)


@pytest.mark.parametrize("content", ["", "  \n", "two words", "\xe9"])
def test_a_token_is_one_word(file: Path, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text(content, encoding="utf-8")
    assert "token is empty or no token" in mistake("serve", file, "--reload-token-file", tmp_path / "token")
    monkeypatch.setenv("RLBENCH_RELOAD_TOKEN", content)
    assert "RLBENCH_RELOAD_TOKEN is empty or no token" in mistake("serve", file)


def test_a_port_below_1024_may_need_a_right(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    def forbidden(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(sockets, "_open", lambda family: type("S", (socket.socket,), {"bind": forbidden})())
    assert "port 80 is not for everybody" in mistake("serve", file, "--port", "80")


def test_it_needs_neither_torch_nor_gymnasium(file: Path, tmp_path: Path) -> None:
    """In an interpreter in which they, and all else that serving has no use for, cannot be imported."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        textwrap.dedent("""
            import sys
            for name in ("torch", "gymnasium", "matplotlib", "onnx", "onnxscript", "rich", "PIL", "tensorboard",
                         "scipy", "pygame", "tomli_w"):
                sys.modules[name] = None
        """)
    )
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    blocked = subprocess.run(
        [sys.executable, "-c", "import torch"], env={**os.environ, "PYTHONPATH": path}, capture_output=True
    )
    assert blocked.returncode == 1
    with running(file, "--workers", "2", env={"PYTHONPATH": path}) as service:
        status, answer = service.ask("/predict", {"obs": OBS})
        assert status == 200
        assert answer["action"] in (0, 1)
        assert service.ask("/spec")[1]["env"] == "CartPole-v1"
        assert service.ask("/openapi.json")[0] == 200
        assert service.end() == (0, "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_ends_it_as_commands_end(file: Path, number: int, code: int, tmp_path: Path) -> None:
    with running(file, env={"TMPDIR": str(tmp_path)}) as service:
        assert list(tmp_path.glob("rlbench-serve-*"))
        assert service.ask("/predict", {"obs": OBS})[0] == 200
        assert service.said[0].startswith(f"{file}: dqn on CartPole-v1, seed 0, sha256 ")
        assert service.end(number) == (code, "")
    assert not list(tmp_path.glob("rlbench-serve-*"))


@pytest.mark.slow
def test_a_run_is_exported_and_served(tmp_path: Path) -> None:
    succeeds(*CARTPOLE, "--out", tmp_path / "run")
    with running(tmp_path / "run", env={"RLBENCH_RELOAD_TOKEN": "secret"}) as service:
        spec = service.ask("/spec")[1]
        assert (spec["env"], spec["name"]) == ("CartPole-v1", str(tmp_path / "run"))
        status, answer = service.ask("/predict", {"obs": [0.0, 0.1, 0.0, -0.1]})
        assert status == 200
        assert len(answer["values"]["q_values"]) == 2
        status, answer = service.ask("/reload", {}, Authorization="Bearer secret")
        assert status == 409
        assert "serve a file" in answer["detail"]
        code, err = service.end()
        assert (code, err.splitlines()) == (0, ["note: the run is exported first, and proved by 10 episodes"])


def test_an_empty_folder_is_no_run(tmp_path: Path) -> None:
    result = rlbench("serve", tmp_path)
    assert result.exit_code == 2
    assert str(tmp_path) in one_line(result)
