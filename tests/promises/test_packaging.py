"""What is installed is what lies in the checkout: setup.cfg maps the folders by hand, and a wheel proves it right."""

import configparser
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

import rlbench

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {
    "rlbench": "rlbench",
    "agents": "rlbench/agents",
    "envs": "rlbench/envs",
    "experiments": "rlbench/experiments",
}


def sources(*patterns: str) -> set[str]:
    """Files of the four folders that match, as paths inside the installed tree."""
    return {
        str(PurePosixPath(installed) / path.relative_to(ROOT / folder).as_posix())
        for folder, installed in FOLDERS.items()
        for pattern in patterns
        for path in (ROOT / folder).rglob(pattern)
        if path.is_file() and "__pycache__" not in path.parts
    }


def run(*command: str | Path, cwd: Path, **env: str) -> str:
    result = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=os.environ | env, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_packages_are_the_folders_with_an_init() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    packages = {name.strip() for name in config["options"]["packages"].split()}
    assert packages == {str(PurePosixPath(path).parent).replace("/", ".") for path in sources("__init__.py")}


def test_the_version_is_said_once() -> None:
    assert importlib.metadata.version("rlbench") == rlbench.__version__


def test_constraints_pin_every_requirement() -> None:
    """All that `pip install -e '.[dev]'` asks for by name has a pin, so that two people test the same thing."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    pinned = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins}
    every = [Requirement(line) for line in importlib.metadata.requires("rlbench") or []]
    extras = ("", "dev", "box2d", "video")  # not the trackers, which hold some of these packages back
    required = [one for one in every if not one.marker or any(one.marker.evaluate({"extra": e}) for e in extras)]
    assert len(required) > 10
    for requirement in required:
        name = canonicalize_name(requirement.name)
        if name != "rlbench":  # the extra `dev` names the other extras
            assert name in pinned
            assert requirement.specifier.contains(pinned[name]), requirement


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what a user gets: sdist from the checkout, wheel from the sdist, installed from the wheel."""
    # Built from a copy: setuptools would pick up an old build/ beside the sources, and leave its own there.
    work = tmp_path_factory.mktemp("packaging")
    copy = work / "checkout"
    copy.mkdir()
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", work / "dist", copy, cwd=work)
    (wheel,) = (work / "dist").glob("*.whl")
    target = work / "installed"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps")
    run(*pip, "--target", target, wheel, cwd=work)
    return target


@pytest.mark.slow
def test_the_wheel_holds_every_file(installed: Path) -> None:
    data = {path for path in sources("*.csv", "*.json") if "/golden/" in path} | sources("requirements.txt")
    expected = sources("*.py", "py.typed", "*.toml", "*.css", "*.js", "*.html") | data
    found = {path.relative_to(installed).as_posix() for path in (installed / "rlbench").rglob("*") if path.is_file()}
    assert "rlbench/py.typed" in found
    assert {path for path in found if "__pycache__" not in path} == expected


@pytest.mark.slow
def test_the_wheel_imports_away_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    script = """
import importlib, importlib.resources, json
names = ["rlbench", "rlbench.cli", "rlbench.agents", "rlbench.agents.dqn", "rlbench.envs", "rlbench.experiments"]
recipes = importlib.resources.files("rlbench.experiments")
print(json.dumps({
    "files": {name: importlib.import_module(name).__file__ for name in names},
    "recipes": [f"{d.name}/{f.name}" for d in recipes.iterdir() if d.is_dir() for f in d.iterdir()],
}))
"""
    report = json.loads(run(sys.executable, "-c", script, cwd=tmp_path, PYTHONPATH=str(installed)).splitlines()[-1])
    assert {name: Path(file).is_relative_to(installed) for name, file in report["files"].items()} == dict.fromkeys(
        report["files"], True
    )
    recipes = {f"rlbench/experiments/{name}" for name in report["recipes"] if name.endswith(".toml")}
    assert recipes
    assert recipes == sources("*.toml")


@pytest.mark.slow
def test_the_installed_command_runs(installed: Path, tmp_path: Path) -> None:
    command = installed / "bin" / "rlbench"
    assert "Usage: rlbench" in run(sys.executable, command, "--help", cwd=tmp_path, PYTHONPATH=str(installed))
