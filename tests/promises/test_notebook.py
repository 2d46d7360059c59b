"""The notebooks in docs/: they run from top to bottom, and what they show is small and none of a machine's own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "README.md").exists())
NOTEBOOKS = sorted((ROOT / "docs").glob("*.ipynb"))
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
#: Runs a notebook in the working folder, with a kernel of this very interpreter.
RUN = """
import sys, nbformat, nbclient
notebook = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


def cells(path: Path) -> list[dict[str, Any]]:
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def kinds(cell: dict[str, Any]) -> list[str]:
    """What a cell printed and gave, by kind. Progress goes by the clock, and how often a text is sent too."""
    found = []
    for output in cell["outputs"]:
        if output["output_type"] != "display_data":
            text = "".join(output.get("data", {}).get("text/plain", ""))
            found.append(" ".join([output["output_type"], *sorted(output.get("data", {})), re.split("[ :]", text)[0]]))
    return list(dict.fromkeys(found))


def test_there_is_one() -> None:
    assert [path.name for path in NOTEBOOKS] == ["first_steps.ipynb"]


@every_notebook
def test_what_it_shows_is_small_and_of_no_machine(path: Path) -> None:
    assert path.stat().st_size < 500_000
    found = cells(path)
    assert [cell["execution_count"] for cell in found] == list(range(1, len(found) + 1))
    for cell in found:
        compile("".join(cell["source"]), path.name, "exec")
        assert all(len(line) <= 100 for line in "".join(cell["source"]).splitlines())
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr"
            html = re.sub(r"base64,[A-Za-z0-9+/=]+", "", json.dumps(output))
            assert not re.search(r"/(home|root|tmp|work|Users)/", html)


@every_notebook
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)\s#]+)\)", path.read_text(encoding="utf-8"))
    inside = [target for target in targets if "://" not in target]
    assert inside
    for target in inside:
        assert (path.parent / target).exists(), target


@pytest.mark.slow
@every_notebook
def test_it_runs_and_shows_the_same_kinds_of_things(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("nbclient")
    (tmp_path / "here").mkdir()
    environment = {**os.environ, "JUPYTER_DATA_DIR": str(tmp_path / "jupyter"), "IPYTHONDIR": str(tmp_path / "ipython")}
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(path), str(tmp_path / "done.ipynb")],
        cwd=tmp_path / "here", env=environment, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-5000:]
    assert (tmp_path / "here" / "runs" / "first" / "summary.json").exists()
    shown = [kinds(cell) for cell in cells(tmp_path / "done.ipynb")]
    assert shown == [kinds(cell) for cell in cells(path)]
    assert ["execute_result text/html text/plain <run"] in shown
