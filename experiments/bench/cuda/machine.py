"""Stages about the machine: whether what it computes is right, what it is, how fast it copies, where a step waits."""

import collections
import os
import platform
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import torch

from .job import Job, Loop, classic, microseconds, named

TESTS = Path(__file__).parents[3] / "tests"
LIMIT = 150  # seconds for the tests
#: Of the tests with the marker ``cuda``, those that tell most in little time.
TELLING = "graph or waits or same_on_every_device or agree or own_derivative or not_there or DQN or dealt"


def right(job: Job) -> dict[str, Any]:
    """Whether the tests of a card pass: the most telling ones. All of them are ``pytest -m cuda tests``."""
    if not TESTS.is_dir():
        return {"not run": "the tests are no part of an installation; from a checkout: pytest -m cuda tests"}
    which = (
        ["-m", "cuda", "-k", TELLING, str(TESTS)] if job.cuda else ["-k", "adam", str(TESTS / "promises/test_cuda.py")]
    )
    command = [sys.executable, "-m", "pytest", "-q", "--maxfail=8", "-p", "no:cacheprovider", *which]
    try:
        done = subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired as e:
        said = e.stdout.decode() if isinstance(e.stdout, bytes) else str(e.stdout)
        return {"not ended": f"after {LIMIT} s", "so far": said.strip().splitlines()[-1:]}
    lines = done.stdout.strip().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR", "E  "))]
    return {"exit code": done.returncode, "pytest": lines[-1] if lines else done.stderr[-200:], "failed": failed[:12]}


def facts(job: Job) -> dict[str, Any]:
    """The machine."""
    card = torch.cuda.get_device_properties(job.device) if job.cuda else None
    return {
        "card": card.name if card else "none",
        "GiB": round(card.total_memory / 2**30) if card else 0,
        "torch": torch.__version__,
        "CUDA": torch.version.cuda or "none",
        "python": platform.python_version(),
        "CPUs": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    }


def copies(job: Job) -> dict[str, Any]:
    """GB/s of a large copy within the device, bytes read and written: what a step's bytes are divided by."""
    source = torch.ones(2**28 if job.cuda else 2**22, device=job.device)
    target = torch.empty_like(source)
    us = microseconds(lambda: target.copy_(source), job.cuda, 50 if job.cuda else 3)
    return {"GB/s": round(2 * source.nbytes / us / 1e3)}


def waits(job: Job) -> dict[str, Any]:
    """How often a vector step waits for the card, and the lines of rlbench that do. A rehearsal finds none."""
    found: dict[str, Any] = {}
    for device, where in job.places[:2]:
        loop, steps = Loop(classic(min(8, max(job.seeds)), **where), device), min(100, job.steps)
        mode = torch.cuda.set_sync_debug_mode if job.cuda else lambda mode: None
        places: collections.Counter[str] = collections.Counter()
        mode("warn")
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                for _ in range(steps):  # without the wait at the end, which is ours
                    next(loop._steps)
        finally:
            mode("default")
        for warning in caught:
            if "called a synchronizing" in str(warning.message):
                places[f"{Path(warning.filename).name}:{warning.lineno}"] += 1
        loop.close()
        row = {"a step": sum(places.values()) / steps, **{place: n / steps for place, n in places.most_common(8)}}
        found[named(device, where)] = row
    return found
