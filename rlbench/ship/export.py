"""`export`: a trained policy into a file that needs neither rlbench nor its trainer, kept once it is proved.

from rlbench.ship.export import export
from rlbench.trained.load import load

exported = export(load("runs/cartpole", seed="best", device="cpu"), "onnx", "policy.onnx")
"""

import hashlib
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ..errors import UsageError
from ..files import check_writable, exporting
from ..policyfile.metadata import Metadata, Port
from ..policyfile.opened import open_content
from ..process.places import absolute
from ..runfolder.layout import under_way
from ..trained.load import Trained
from ..user_code.commands import ref
from ..version import __version__
from .formats import NOTES, SUFFIXES, made, traced
from .policy import Contract, PolicyModule, anew, contract
from .samples import random_masks, random_observations

KINDS = tuple(SUFFIXES)
EPISODES = 100  # that a file plays before it is kept
EXAMPLES = 3  # rows of what a graph is traced with: 1 is a case of its own to a tracer
LIBRARIES = {"onnx": ("onnx", "onnxscript"), "torchscript": (), "pt2": ()}


class Exported(NamedTuple):
    """A file that was written.

    ``seconds`` is what it took; ``notes`` are sentences for the user.
    """

    path: Path
    kind: str
    metadata: Metadata
    nbytes: int
    seconds: float
    notes: tuple[str, ...] = ()


def export(
    trained: Trained,
    kind: str,
    out: str | Path,
    *,
    episodes: int = EPISODES,
    say: Callable[[str], None] = lambda text: None,
) -> Exported:
    """Write a trained policy into a file, proved to be the same policy before it is kept.

    Args:
        trained: of `load`, on the CPU; several seeds are exported together, as one policy that votes.
        kind: "onnx", "torchscript" or "pt2".
        out: the file. What is there already is replaced in the end, or stays as it is.
        episodes: that the file plays for the proof.
        say: told how far it is.

    Raises:
        UsageError: no such kind, a space that no file takes as numbers, a package that is missing.
        RunFolderError: ``out`` cannot be written.
        AgentError: the agent's ``act`` cannot be written down.
    """
    began, out = time.perf_counter(), absolute(out)
    if kind not in KINDS:
        raise UsageError(f"{kind!r} is no format of policies; there are {', '.join(KINDS)}")
    if (".ts" if out.suffix == ".pt" else out.suffix) != SUFFIXES[kind]:
        raise UsageError(f"--out {out.name}: the name of a policy in {kind} ends with {SUFFIXES[kind]}")
    if trained.parts.device.type != "cpu":
        raise UsageError('a policy is exported from the CPU: open it with load(..., device="cpu")')
    check_writable(out, "--out FILE")
    agreed = contract(trained)
    policy = PolicyModule(trained, anew(trained), agreed)
    examples = [torch.from_numpy(x) for x in drawn(policy.inputs, agreed, EXAMPLES, np.random.default_rng(0)).values()]
    outputs = policy.outputs(examples)
    program = traced(policy, examples)
    write = made(kind, policy, program, examples, outputs)
    metadata = describe(trained, agreed, policy.inputs, outputs, kind)
    content = write(metadata)
    open_content(content, out)
    with exporting(out, "--out FILE") as temporary, temporary.open("wb") as file:
        file.write(content)
    notes = (NOTES[kind],) if kind in NOTES else ()
    return Exported(out, kind, metadata, len(content), time.perf_counter() - began, notes)


def drawn(inputs: list[Port], agreed: Contract, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random inputs of a policy, ``count`` rows, by name in the order of its arguments."""
    found = random_observations(agreed.obs, count, rng)
    for port in inputs:
        if port.role == "mask":
            found[port.name] = random_masks(port, count, rng, agreed.codec.sizes)
        elif port.role == "memory":
            found[port.name] = np.zeros((count, *port.shape), port.dtype)
    return found


def describe(trained: Trained, agreed: Contract, inputs: list[Port], outputs: list[Port], kind: str) -> Metadata:
    """What the file says of itself, but for its proof."""
    several = len(trained.seeds) > 1
    return Metadata(
        env=trained.recipe.env,
        agent=ref(trained.recipe.agent),
        seeds=trained.seeds,
        vote=("majority" if agreed.codec.counts else "mean") if several else None,
        env_steps=trained.env_steps,
        checkpoint=digest(trained.path),
        obs=agreed.obs,
        action=agreed.action,
        inputs=inputs,
        outputs=outputs,
        versions=versions(kind),
    )


def versions(kind: str) -> dict[str, str]:
    """Of rlbench and what the file was made with, where that is known."""
    found = {"rlbench": __version__}
    for name in ("torch", "gymnasium", "numpy", *LIBRARIES[kind]):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # as in a source tree that is merely on the path
            continue
    return found


def digest(path: Path) -> str:
    """SHA-256 of a checkpoint; of a run under way in several processes, of their files one after the other."""
    sums = hashlib.sha256()
    for file in [path] if path.is_file() else [place / path.name for place in under_way(path.parent) or ()]:
        sums.update(file.read_bytes())
    return sums.hexdigest()
