"""The Dockerfile's own steps, in a fresh virtual environment in the place of an image: what they lay down serves.

The image itself is not built here; what stands in RUN, COPY, CMD and HEALTHCHECK is what is run.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import venv
from fnmatch import fnmatch
from pathlib import Path

import policy_files
import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "Dockerfile"
IGNORED = ROOT / ".dockerignore"


def steps() -> list[tuple[str, str]]:
    """Instruction and what follows it, lines that go on put together."""
    text = re.sub(r"\\\n\s*", " ", FILE.read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found = [line.partition(" ") for line in lines]
    return [(word, rest.strip()) for word, _, rest in found]


def of(instruction: str) -> str:
    """What the last of an instruction says."""
    return [rest for word, rest in steps() if word == instruction][-1]


def lets_in(path: str) -> bool:
    """Whether a file of the checkout goes into the image's context."""
    lines = [line for line in IGNORED.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    allowed = False
    for line in lines:
        pattern, says = line.removeprefix("!"), line.startswith("!")
        parts = pattern.removeprefix("**/")
        if fnmatch(path, pattern) or path.startswith(f"{pattern}/") or (parts != pattern and parts in path.split("/")):
            allowed = says
    return allowed


def test_no_root_no_torch_and_a_check_of_health() -> None:
    assert [rest for word, rest in steps() if word == "FROM"] == ["python:3.11-slim AS wheel", "python:3.11-slim"]
    assert of("USER") == "65534:65534"
    assert "/healthz" in of("HEALTHCHECK")
    words = [word for word, _ in steps()]
    assert words.index("USER") > max(i for i, word in enumerate(words) if word == "RUN")
    assert not re.search(r"torch|gymnasium", " ".join(rest for _, rest in steps()))


def test_the_context_holds_what_a_wheel_is_built_of() -> None:
    for path in ("setup.cfg", "rlbench/service/app.py", "agents/dqn.py", "constraints.txt", "README.md"):
        assert lets_in(path), path
    for path in ("runs/a/checkpoint.pth", ".git/config", ".venv/bin/python", "tests/conftest.py", "policy.onnx",
                 "rlbench/__pycache__/x.pyc"):  # fmt: skip
        assert not lets_in(path), path


def test_every_requirement_is_pinned() -> None:
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    lines = (ROOT / "requirements-serve.txt").read_text().splitlines()
    names = [line for line in lines if line and not line.startswith(("#", "-c"))]
    assert "-c constraints.txt" in lines
    assert names == sorted(names)
    assert set(names) <= set(pins)


class Image:
    """A folder in the place of an image's root, and a virtual environment in the place of its Python."""

    def __init__(self, folder: Path) -> None:
        self.root, self.python = folder / "root", folder / "python"
        self.root.mkdir()
        venv.create(self.python, with_pip=True)
        self.workdir = self.root
        kept = {"HOME", "LANG", "TMPDIR", "PIP_INDEX_URL", "PIP_CERT", "SSL_CERT_FILE", "HTTPS_PROXY", "https_proxy"}
        self.environment = {
            name: value for name, value in os.environ.items() if name in kept or name.startswith("PIP_")
        }
        self.environment["PATH"] = f"{self.python / 'bin'}{os.pathsep}{os.environ['PATH']}"

    def inside(self, text: str) -> str:
        """Absolute paths of the image as they lie here."""
        return re.sub(r"(?<![\w/.])/(?=source|wheels|requirements|constraints|policy)", f"{self.root}/", text)

    def build(self) -> None:
        for word, rest in steps():
            if word == "WORKDIR":
                self.workdir = Path(self.inside(rest))
                self.workdir.mkdir(parents=True)
            elif word == "COPY" and not rest.startswith("--from"):
                *names, to = rest.split()
                self._copy(names, Path(self.inside(to)) if to != "/" else self.root)
            elif word == "RUN":
                done = subprocess.run(
                    ["bash", "-euc", self.inside(rest)], cwd=self.workdir, env=self.environment, capture_output=True,
                    text=True, timeout=900,
                )  # fmt: skip
                assert done.returncode == 0, f"{rest}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"

    def _copy(self, names: list[str], to: Path) -> None:
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
        )
        paths = listed.stdout.split("\n")[:-1] if listed.returncode == 0 else [
            path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if path.is_file()
        ]  # fmt: skip
        to = self.workdir if to == Path(".") else to
        for path in paths:
            if lets_in(path) and (names == ["."] or path in names) and (ROOT / path).exists():
                (to / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / path, to / path)

    def laid_down(self) -> int:
        """Bytes of all that pip has installed, but for pip and setuptools, which the base image has too."""
        code = (
            "import importlib.metadata as m\n"
            "print(sum((f.size or 0) for d in m.distributions() if d.name not in ('pip', 'setuptools')"
            " for f in d.files or ()))"
        )
        return int(self.ran(code))

    def ran(self, code: str) -> str:
        done = subprocess.run(
            ["python", "-c", code], cwd=self.root, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.mark.slow
def test_its_own_steps_lay_down_a_service(tmp_path: Path) -> None:
    image = Image(tmp_path)
    image.build()
    names = set(image.ran("import importlib.metadata as m; print(*(d.name for d in m.distributions()))").split())
    assert not names & {"torch", "gymnasium", "matplotlib", "onnx", "tensorboard", "rich"}
    assert {"rlbench", "onnxruntime", "fastapi"} <= names
    stated = re.search(r"pip installs lay down (\d+) MiB", (ROOT / "docs" / "serving.md").read_text(encoding="utf-8"))
    assert stated is not None
    assert abs(image.laid_down() / 2**20 - int(stated[1])) < 5, image.laid_down() / 2**20
    policy_files.linear(image.root / "policy.onnx")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [image.inside(word).replace("8000", port) for word in json.loads(of("CMD"))]
    health = json.loads(of("HEALTHCHECK").partition("CMD ")[2])
    environment = {**image.environment, "PYTHONDONTWRITEBYTECODE": "1"}
    found = shutil.which(command[0], path=environment["PATH"])
    assert found == str(image.python / "bin" / "rlbench")
    with subprocess.Popen(
        [found, *command[1:]], env=environment, cwd=image.root, stderr=subprocess.PIPE, text=True
    ) as one:
        try:
            checked = [word.replace("8000", port) for word in health]
            until = time.monotonic() + 60
            while subprocess.run(checked, env=environment, capture_output=True, check=False).returncode:
                assert time.monotonic() < until
                assert one.poll() is None, one.communicate()[1]
                time.sleep(0.2)
            body = json.dumps({"obs": [0.5, -1.0, 2.0, 0.25]}).encode()
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/predict", body, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert json.load(answer)["action"] in (0, 1)
            one.send_signal(signal.SIGTERM)
            _, err = one.communicate(timeout=30)
            assert (one.returncode, err) == (0, "")
        finally:
            one.kill()
    assert subprocess.run(checked, env=environment, capture_output=True, check=False).returncode == 1
    assert sys.prefix not in environment["PATH"].split(os.pathsep)[0]
