"""`rlbench export --to html`: one page, without network, in which a trained policy plays. A file that one can send."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..files import check_writable
from ..play.html_page import check_name, write_page
from ..policyfile.opened import open_policy
from ..process.places import absolute
from ..recipe import Recipe
from ..trained.load import Trained
from .export import EPISODES, Exported, export
from .page import check_world, page
from .page_proof import node, prove
from .plain_graph import plain_graph
from .samples import random_observations

RANDOM = 64  # observations inside the space that the page is asked, besides those of an episode
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
        env = trained.maker()
        try:
            drawn = random_observations(done.metadata.obs, RANDOM, np.random.default_rng(0))
            proof = prove(graph, policy, env, list(drawn["obs"])).text()
        finally:
            env.close()
    else:
        notes.append(
            "the page's JavaScript was not run: there is no Node.js here. The ONNX file that it was made from was "
            "compared with the live agent."
        )
    html = page(graph, done.metadata, trained.maker.time_limit or 0, proof)
    nbytes = write_page(out, html, "--out FILE")
    return Exported(out, "html", done.metadata, nbytes, time.perf_counter() - began, tuple(notes))


def changed(recipe: Recipe) -> str:
    """In what a run's environment is not the one of its name; empty where it is."""
    if recipe.wrappers:
        return "there is a wrapper around it"
    return "its constructor was given arguments" if recipe.env_kwargs else ""
