"""`rlbench export --to html`: one page, without network, in which a trained policy plays. A file that one can send."""

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from ..files import check_writable
from ..play.html_page import check_name, write_page
from ..policyfile.leaves import OBS
from ..policyfile.metadata import Space
from ..policyfile.opened import open_policy
from ..process.places import absolute
from ..proving.observed import observed
from ..proving.samples import random_observations
from ..recipe import Recipe
from ..trained.load import Trained
from .export import EPISODES, Exported, export
from .page import check_world, page
from .page_proof import node, prove
from .plain_graph import plain_graph

RECORDED, RANDOM = 512, 128  # observations that the page is asked, besides those of an episode that it plays
OPTION = "--out look.html"


def export_page(
    trained: Trained, out: str | Path, *, episodes: int = EPISODES, say: Callable[[str], None] = lambda text: None
) -> Exported:
    """Write a trained policy into a page, by way of an ONNX file; both are proved before the page is kept.

    Args:
        trained: of `load`, on the CPU.
        out: the page. What is there already is replaced in the end, or stays as it is.
        episodes: that the ONNX file plays for its proof.
        say: told how far it is.

    Raises:
        UsageError: an environment without physics in JavaScript, an operation that the page does not know; as `export`.
        PolicyFileError: the page is not the policy, or its environment is not Gymnasium's.
        RunFolderError: ``out`` cannot be written.
    """
    began, out = time.perf_counter(), absolute(out)
    check_name(out, OPTION)
    check_world(trained.recipe.env, changed(trained.recipe))
    check_writable(out, "--out FILE")
    with tempfile.TemporaryDirectory() as folder:
        done = export(trained, "onnx", Path(folder) / "policy.onnx", episodes=episodes, say=say)
        policy, content = open_policy(done.path), done.path.read_bytes()
    graph = plain_graph(content, done.metadata)
    notes, proof = list(done.notes), ""
    if node():
        say("trying the page")
        with closing(trained.maker()) as env:
            proof = prove(graph, policy, env, recorded(trained, done.metadata.obs)).text()
    else:
        notes.append(
            "the page's JavaScript was not run: there is no Node.js here. The ONNX file that it was made from was "
            "compared with the live agent."
        )
    html = page(graph, done.metadata, trained.maker.time_limit or 0, proof)
    nbytes = write_page(out, html, "--out FILE")
    seconds = time.perf_counter() - began
    return done._replace(path=out, kind="html", nbytes=nbytes, seconds=seconds, notes=tuple(notes), tried=proof)


def recorded(trained: Trained, space: Space) -> list[Sequence[Any]]:
    """Observations to ask a page: of recorded episodes, (T, *shape) of each, and random ones, each by itself."""
    seen = observed(trained, space, RECORDED)
    episodes = np.split(seen.inputs[OBS], np.flatnonzero(seen.started)[1:])
    return [*episodes, *random_observations(space, RANDOM, np.random.default_rng(0))[OBS][:, None]]


def changed(recipe: Recipe) -> str:
    """In what a run's environment is not the one of its name; empty where it is."""
    if recipe.wrappers:
        return "there is a wrapper around it"
    return "its constructor was given arguments" if recipe.env_kwargs else ""
