"""Weights & Biases and Trackio, which share one interface and both work without a network (WANDB_MODE=offline).

A step that was told once is not told again: a resumed run repeats exactly what came between its checkpoint and its end,
so what is there already is true. A note beside the run says how far that is, and which run of the service it is.
"""

import contextlib
import importlib
import io
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError, first_line
from ..files import write_json
from ..recipe import Recipe
from ..runfolder.layout import whole_run
from .names import flat, hyper_parameters, run_name
from .tracker import Numbers, Tracker

PROJECT = "rlbench"


class Online(Tracker):
    """Tells ``wandb`` or ``trackio``. The workers of one run are a group of runs there.

    Args:
        name: of the package.
        folder: the run folder, or that of a worker.
        recipe: what is run.

    Raises:
        UsageError: the service could not begin, for want of a login for instance.
    """

    def __init__(self, name: str, folder: Path, recipe: Recipe) -> None:
        self.name, self._note = name, folder / f".{name}.json"
        self._known = _read(self._note) or {"id": secrets.token_hex(4), "env_steps": -1}
        self._module: Any = importlib.import_module(name)
        self._waiting: dict[str, Any] = {}
        self._at = -1
        whole = whole_run(folder)
        called = run_name(whole) if whole == folder else f"{run_name(whole)} {folder.name}"
        about = {"project": PROJECT, "group": run_name(whole), "config": hyper_parameters(recipe), "resume": "allow"}
        own = {"name": called, "id": self._known["id"], "dir": str(folder)}  # Trackio knows runs by name alone
        for setting, value in (("WANDB_SILENT", "true"), ("WANDB_CONSOLE", "off")):
            os.environ.setdefault(setting, value)  # the terminal is ours, unless the user says otherwise
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                if name == "wandb":
                    self._run = self._module.init(**about, **own)
                else:
                    self._run = self._module.init(**about, name=f"{called} {self._known['id']}", embed=False)
        except Exception as e:
            raise UsageError(f"--track {name} could not begin: {first_line(e)}. Try without it: --track none") from e

    def numbers(self, values: Numbers, env_steps: int) -> None:
        self._tell(flat(values), env_steps)

    def histograms(self, values: Mapping[str, Mapping[int, np.ndarray]], env_steps: int) -> None:
        named = {f"{quantity}/seed_{seed}": x for quantity, seeds in values.items() for seed, x in seeds.items()}
        finite = {tag: x[np.isfinite(x)] for tag, x in named.items()}
        self._tell({tag: self._module.Histogram(x) for tag, x in finite.items() if x.size}, env_steps)

    def video(self, path: Path, title: str, env_steps: int) -> None:
        film = self._module.Video(str(path), caption=title, format=path.suffix[1:])
        self._tell({"evaluation/episode": film}, env_steps)

    def _tell(self, named: dict[str, Any], env_steps: int) -> None:
        """Keep what belongs to one step together, as a service takes a step once."""
        if env_steps != self._at:
            self._send()
            self._at = env_steps
        self._waiting |= named

    def _send(self) -> None:
        if self._waiting and self._at > self._known["env_steps"]:
            self._known["env_steps"] = self._at
            write_json(self._note, self._known)  # first: a step that is lost is better than one that comes twice
            self._run.log(self._waiting, step=self._at)
        self._waiting = {}

    def sizes(self) -> dict[str, int]:
        self._send()  # what stands before a checkpoint is not repeated
        return {}

    def close(self, summary: Mapping[str, Any] | None) -> None:
        self._send()
        with contextlib.redirect_stdout(io.StringIO()):
            self._module.finish()  # not the run's own: Trackio would finish it again, and say so, at exit


def _read(path: Path) -> dict[str, Any] | None:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return {"id": str(known["id"]), "env_steps": int(known["env_steps"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None
