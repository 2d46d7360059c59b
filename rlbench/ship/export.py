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
from typing import Any, NamedTuple

import numpy as np
import torch

from ..errors import AgentError, UsageError
from ..files import check_writable, exporting
from ..policyfile.metadata import Metadata, Port
from ..policyfile.opened import KINDS, open_content
from ..policyfile.packages import package
from ..process.places import absolute
from ..proving.agree import TOLERANCE
from ..proving.cautions import cautions
from ..proving.episodes import ReturnsCompared, compare_returns, live_returns, play_file
from ..proving.gain import Gain, gained, single_returns
from ..proving.proof import BATCHES, AnswersCompared, Mismatch, check_live, compare_answers, same_graph, to_compare
from ..proving.samples import random_inputs
from ..recipe.registry import agent_code
from ..runfolder.layout import under_way
from ..tracing.formats import NOTES, SUFFIXES, NotTraced, ToBytes, made, traced
from ..tracing.live import LivePolicy
from ..tracing.policy import Contract, PolicyModule, anew, contract
from ..tracing.tables import TableModule, is_numbered
from ..trained.load import Trained
from ..user_code.commands import ref
from ..version import __version__

EPISODES = 100  # that a file plays before it is kept
EXAMPLES = 3  # rows of what a graph is traced with: 1 is a case of its own to a tracer
LIBRARIES = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "torchscript": (), "pt2": ()}


class Proof(NamedTuple):
    """What a file was proved by: answers that were compared, and episodes that it played.

    Of the answers, and of the ``steps`` of its own episodes together, ``ties``, ``largest`` and ``rounded`` are as of
    `agree.Agreement`.
    """

    answers: AnswersCompared
    steps: int
    ties: int
    largest: float
    rounded: int
    returns: ReturnsCompared

    def summary(self) -> dict[str, Any]:
        """As it lies in the file."""
        returns, answers = self.returns, self.answers
        return {
            "observations": {"recorded": answers.recorded, "source": answers.source, "random": answers.random},
            "batch_sizes": list(BATCHES),
            "answers": answers.rows,
            "tolerance": TOLERANCE,
            "largest_difference": self.largest,
            "rounded_otherwise": self.rounded,
            "ties": self.ties,
            "episodes": len(returns.live),
            "steps": self.steps,
            "equal_returns": returns.equal,
            "differing_returns": returns.drifted,
            "differ_by": returns.why or None,
            "mean_return": float(returns.returns.mean()),
            "mean_return_live": float(returns.live.mean()),
            "difference_interval": [returns.low, returns.high] if returns.drifted else None,
        }


class Exported(NamedTuple):
    """A file that was written.

    ``seconds`` is what it took; ``notes`` are sentences for the user; ``tried`` is what the JavaScript of a page was
    compared on.
    """

    path: Path
    kind: str
    metadata: Metadata
    nbytes: int
    seconds: float
    proof: Proof
    gain: Gain | None  # of several seeds
    notes: tuple[str, ...] = ()
    tried: str = ""


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
        AgentError: the agent's ``act`` cannot be written down, or it remembers more than it says.
        Mismatch: what was written does not do what the live agent does. Nothing is kept, and nothing was replaced.
    """
    began, out = time.perf_counter(), absolute(out)
    if kind not in SUFFIXES:
        raise UsageError(f"{kind!r} is no format of policies; there are {', '.join(SUFFIXES)}")
    if KINDS.get(out.suffix.lower()) != kind:
        raise UsageError(f"--out {out.name}: the name of a policy in {kind} ends with {SUFFIXES[kind]}")
    if trained.parts.device.type != "cpu":
        raise UsageError('a policy is exported from the CPU: open it with load(..., device="cpu")')
    if trained.recipe.precision != "float32":
        raise UsageError(
            f"the run multiplies in {trained.recipe.precision} (key: precision), which rounds to three digits, and "
            "otherwise on every machine: no file can be proved to be the same policy"
        )
    check_writable(out, "--out FILE")
    for name in LIBRARIES[kind]:
        package(name, "onnx")
    agreed, notes = contract(trained), [NOTES[kind]] if kind in NOTES else []
    live = LivePolicy(trained, agreed.obs)
    say("looking at recorded episodes")
    seen = to_compare(trained, agreed)
    check_live(live, seen)
    say(f"writing {kind}")
    written = write(trained, kind, agreed, live)
    notes += [*written.notes, *cautions(live, seen)]
    metadata = describe(trained, agreed, written.inputs, written.outputs, kind)
    say("comparing it with the live agent")
    file = open_content(written.to_bytes(metadata), out)
    answers = compare_answers(file, live, agreed, seen)
    expected = live_returns(trained, episodes)
    played = play_file(file, trained, live, list(range(episodes)), lambda text: say(f"playing by the file: {text}"))
    returns = compare_returns(file, trained, live, played, expected)
    ties, rounded = answers.ties + int(played.ties.sum()), answers.rounded + played.rounded
    proof = Proof(answers, played.steps, ties, max(answers.largest, played.largest), rounded, returns)
    gain = gained(trained, played.returns, single_returns(trained, episodes)) if len(trained.seeds) > 1 else None
    proved = metadata.model_copy(update={"proof": proof.summary()})
    content = written.to_bytes(proved)
    again = open_content(content, out)
    if again.metadata != proved or not same_graph(file, again, seen):
        raise Mismatch("the file changed when its proof was written into it. Nothing was written.")
    with exporting(out, "--out FILE") as temporary, temporary.open("wb") as stream:
        stream.write(content)
    return Exported(out, kind, proved, len(content), time.perf_counter() - began, proof, gain, tuple(notes))


class WrittenPolicy(NamedTuple):
    """A policy in a format, not yet a file."""

    to_bytes: ToBytes
    inputs: list[Port]
    outputs: list[Port]
    notes: list[str]


def write(trained: Trained, kind: str, agreed: Contract, live: LivePolicy) -> WrittenPolicy:
    """The policy in a format; one that cannot be traced as the table of its answers, where observations are numbered.

    Raises:
        AgentError: neither can be done.
    """
    notes = []
    with agent_code(trained.recipe.agent):
        policy: PolicyModule | TableModule = PolicyModule(trained, anew(trained), agreed)
        inputs = random_inputs(agreed.obs, policy.inputs, EXAMPLES, np.random.default_rng(0), agreed.codec.sizes)
        examples = [torch.from_numpy(x) for x in inputs.values()]
        outputs = policy.outputs(examples)
    try:
        program = traced(policy, examples)
    except NotTraced as e:
        name = type(trained.agent).__name__
        what = f"what {name} does cannot be written down as a graph: {e}"
        if not is_numbered(agreed) or trained.agent.recall():
            raise AgentError(
                f"{what}. Its act(explore=False) and explain have to be operations on tensors alone, without NumPy, "
                "lists, item() and branches on what is in a tensor."
            ) from e
        try:
            policy = TableModule(live, agreed)
        except AgentError as why:
            raise AgentError(f"{what}; and as a table neither: {why}.") from why
        outputs, program = policy.outputs(examples), traced(policy, examples)
        count = len(policy.chosen[0])
        notes.append(
            f"{name} computes its actions without tensors: the file holds its answers to {count:,} observations."
        )
    return WrittenPolicy(made(kind, policy, program, examples, outputs), policy.inputs, outputs, notes)


def describe(trained: Trained, agreed: Contract, inputs: list[Port], outputs: list[Port], kind: str) -> Metadata:
    """What the file says of itself, but for its proof."""
    several = len(trained.seeds) > 1
    return Metadata(
        env=trained.recipe.env,
        env_kwargs=dict(trained.recipe.env_kwargs),
        wrappers=list(trained.recipe.wrappers),
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
    for file in parts_of(path):
        sums.update(file.read_bytes())
    return sums.hexdigest()


def parts_of(path: Path) -> list[Path]:
    """The files of a checkpoint: itself, or those of a run under way in several processes."""
    return [path] if path.is_file() else [place / path.name for place in under_way(path.parent) or ()]
