"""An array of jobs, handed to Slurm by submitit."""

import contextlib
import io
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..process import mkl
from .job import WARNED, CellJob
from .sbatch import SlurmTable

FOREVER = 10**6  # time limits that a job may meet: the run's own end comes first
_OF_A_JOB, _OF_THE_CLUSTER = ("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_"), ("SLURM_CONF", "SLURM_CLUSTERS")


def submit(
    array: Path, jobs: Sequence[CellJob], settings: SlurmTable, options: Mapping[str, Any], limit: int, name: str
) -> None:
    """Hand in ``jobs`` together; submitit keeps what it needs in the folder ``array``, which all nodes see.

    Args:
        array: the folder.
        jobs: of the array, from place 0 on.
        settings: the table [slurm].
        options: of sbatch, by long names.
        limit: minutes of each job.
        name: of the jobs, after ``rlbench-``.

    Raises:
        Exception: whatever submitit makes of sbatch's complaint.
    """
    from submitit import SlurmExecutor

    with contextlib.redirect_stderr(io.StringIO()), _plain_environment():  # complaints come as exceptions too
        # The batch script becomes the interpreter: the warning is for one process, and comes once.
        executor = SlurmExecutor(
            array, max_num_timeout=FOREVER, python=f"exec {settings.python or shlex.quote(sys.executable)}"
        )
        warned = f"B:{WARNED.name[3:]}@{settings.seconds_before(limit)}"
        executor.update_parameters(
            job_name=f"rlbench-{name}",
            time=limit,
            use_srun=False,
            stderr_to_stdout=True,
            array_parallelism=settings.parallel,
            setup=[*settings.setup, f"export SUBMITIT_PREEMPT_SIGNAL={WARNED.name[3:]}"],
            additional_parameters={"signal": warned, "requeue": True, **options},
        )
        executor.submit_array(list(jobs))


@contextlib.contextmanager
def _plain_environment() -> Iterator[None]:
    """While jobs are handed in, which inherit it: without what belongs to this process's own job, or to its CPU."""
    hidden = [name for name in os.environ if name.startswith(_OF_A_JOB) and name not in _OF_THE_CLUSTER]
    hidden = hidden if "SLURM_JOB_ID" in os.environ else []
    if os.environ.get(mkl.VARIABLE) == os.environ.get(mkl.OURS):  # chosen by us; a node's CPU may be another
        hidden += [name for name in (mkl.VARIABLE, mkl.OURS) if name in os.environ]
    kept = {name: os.environ.pop(name) for name in hidden}
    try:
        yield
    finally:
        os.environ.update(kept)
