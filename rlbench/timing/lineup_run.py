"""Who is timed side by side, of a run: its live agent, and its policy in every format."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RlbenchError
from ..proving.observed import observed
from ..ship.export import describe, parts_of, write
from ..tracing.formats import SUFFIXES
from ..tracing.live import LivePolicy
from ..tracing.policy import contract
from ..tracing.quantize import quantize
from ..trained.load import load
from .asked import Asking, fitting
from .latency import Entrant
from .lineup import Lineup, of_file, what


def of_run(
    path: Path, folder: Path, seed: Any, agent: str | None, imports: Sequence[str], look: Callable[[str], None]
) -> Lineup:
    """A run's live agent, and its policy as ONNX, quantised ONNX, TorchScript and pt2.

    Args:
        path: of a run or a checkpoint.
        folder: where the files go. They are for the measurement: nothing is proved of them.
        seed: whose, or "best" or "all".
        agent: where its code is, if it is a user's own.
        imports: modules for its environment.
        look: told how far it is.

    Raises:
        RlbenchError: it cannot be opened, or no file can be made of it.
    """
    trained = load(path, seed=seed, agent=agent, imports=imports, device="cpu")
    agreed = contract(trained)
    look("looking at recorded episodes")
    width = sum(int(np.prod(port.shape)) * np.dtype(port.dtype).itemsize for port in agreed.inputs)
    seen = observed(trained, agreed.obs, fitting(width))
    asking = Asking(dict(seen.inputs), f"{len(seen):,} observations of {seen.source}")
    whose = trained.seeds[0] if len(trained.seeds) == 1 else "all"
    more = {"seed": whose, "agent": agent, "imports": list(imports), "space": agreed.obs.model_dump(mode="json")}
    size = sum(part.stat().st_size for part in parts_of(trained.path))
    entrants, notes = [Entrant("live", path, size, "live", more)], list(trained.notes)
    live = LivePolicy(trained, agreed.obs)
    for kind, suffix in SUFFIXES.items():
        file = folder / f"policy{suffix}"
        look(f"writing {kind}")
        try:
            written = write(trained, kind, agreed, live)
            content = written.to_bytes(describe(trained, agreed, written.inputs, written.outputs, kind))
        except RlbenchError as e:
            notes.append(f"{kind} is left out: {e}")
            continue
        _put(file, content)
        entrants.append(of_file(kind, file))
        if kind == "onnx":
            try:
                _put(folder / "int8.onnx", quantize(content, seen.inputs).content)
                entrants.append(of_file("int8", folder / "int8.onnx"))
            except RlbenchError as e:
                notes.append(f"int8 is left out: {e}")
    if len(trained.seeds) > 1:
        notes.append(f"live is {len(trained.seeds)} seeds that act side by side, without the vote that the files hold")
    gated = [one.label for one in entrants if one.label == "onnx"] or [one.label for one in entrants[:1]]
    return Lineup(entrants, asking, what(describe(trained, agreed, [], [], "onnx")), gated, notes)


def _put(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
