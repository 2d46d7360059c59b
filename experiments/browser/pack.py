"""Lays the page, the packages that it needs and some policies into one folder, from which it runs without network."""

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from ...errors import RlbenchError, UsageError
from ...play.html_page import asset
from ...policyfile.opened import open_policy

OURS = ("random.js", "sines.js", "worlds.js", "scenes.js", "show.js", "show.css")  # of rlbench/assets/agent/
PAGE = ("index.html", "page.css", "policy.js", "lander.js", "app.js")


class Package(NamedTuple):
    """A package of npm, pinned: what its tar file hashes to, and which of its files the page needs."""

    name: str
    version: str
    integrity: str  # SHA-512 in base64, as npm writes it
    files: tuple[str, ...]


#: Planck before 1.4.3 puts the centre of mass of a polygon into the middle of its corners, and a lander then tumbles.
PACKAGES = (
    Package(
        "onnxruntime-web",
        "1.30.0",
        "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
        ("dist/ort.wasm.min.js", "dist/ort-wasm-simd-threaded.mjs", "dist/ort-wasm-simd-threaded.wasm"),
    ),
    Package(
        "planck",
        "1.5.0",
        "dlvqJE+FscZgrGUXJ5ybd0o5bvZ5XXyZNbm08xGsXp9WjXeAyWSFT6n9s/1PQcUBo4546fDXA5RMA4wbDyZw6g==",
        ("dist/planck.min.js", "LICENSE.txt"),
    ),
)


def pack(policies: Sequence[Path], out: Path) -> None:
    """Fill the folder ``out``; packages that lie there already are not fetched again.

    Raises:
        UsageError: a policy that is no ONNX file, or two of one name.
        RlbenchError: npm is missing or fails, or a package is not the one that was pinned.
    """
    for path in policies:
        if path.suffix != ".onnx":
            raise UsageError(f"{path} is no .onnx file, which is what the page plays: rlbench export RUN --to onnx")
        open_policy(path)
    if len({path.name for path in policies}) < len(policies):
        raise UsageError("two policies have one name: the page tells them apart by it")
    (out / "policies").mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        fetch(package, out / "packages")
    page = resources.files("rlbench.experiments.browser") / "page"
    for name in PAGE:
        (out / name).write_text((page / name).read_text(encoding="utf-8"), encoding="utf-8")
    for name in OURS:
        (out / name).write_text(asset(f"agent/{name}"), encoding="utf-8")
    for old in (out / "policies").glob("*.onnx"):
        old.unlink()
    for path in policies:
        shutil.copyfile(path, out / "policies" / path.name)
    names = [path.name for path in policies]
    (out / "policies" / "list.json").write_text(json.dumps(names) + "\n", encoding="utf-8")


def fetch(package: Package, folder: Path) -> None:
    """Lay down what the page needs of a package, each file under its own name; `LICENSE.txt` as NAME-LICENSE.txt."""
    stamp = folder / f"{package.name}.version"
    places = {name: folder / _placed(package, name) for name in package.files}
    if stamp.is_file() and stamp.read_text() == package.integrity and all(place.is_file() for place in places.values()):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        archive = _downloaded(package, Path(temporary))
        found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != package.integrity:
            raise RlbenchError(
                f"{package.name} {package.version} is not the one that was pinned: its SHA-512 is {found}"
            )
        with tarfile.open(archive) as files:
            for name, place in places.items():
                member = files.extractfile(f"package/{name}")
                assert member is not None, name
                place.write_bytes(member.read())
    stamp.write_text(package.integrity)


def _placed(package: Package, name: str) -> str:
    last = name.rpartition("/")[2]
    return f"{package.name}-{last}" if last.startswith("LICENSE") else last


def _downloaded(package: Package, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise RlbenchError("this needs npm, which comes with Node.js and fetches what the page is packed with")
    wanted = f"{package.name}@{package.version}"
    command = [npm, "pack", wanted, "--ignore-scripts", "--pack-destination", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        said = [line for line in done.stderr.splitlines() if "error" in line] or ["it gave no file"]
        raise RlbenchError(f"npm does not give {wanted}: {said[0]}")
    return archives[0]
