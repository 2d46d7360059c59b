"""A stand-in for Slurm's commands, for tests where there is none: jobs are processes of this machine, begun at once.

Installed by `install` as sbatch, squeue, scancel, scontrol, sinfo and srun on a PATH. It knows what our engine and
submitit ask for, and nothing else: what it does not know is an error. Its folder holds a file for every job, ``N_I``
with its state, ``N_I.pid`` of the batch script; ``down``: the controller does not answer; ``queued``: jobs wait.
"""

import contextlib
import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "sinfo", "srun")
NODES = (
    "short*|4|8000|gpu:t4:2|1:00:00|n/a|up", "long|16|64000|(null)|infinite|10:00|up", "old|64|64000|(null)|30|n/a|down"
)  # fmt: skip
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")


def install(place: Path) -> Path:
    """Make a folder of commands below ``place``; their own files lie in the folder that is given."""
    state, programs = place / "slurm", place / "programs"
    state.mkdir(parents=True)
    programs.mkdir()
    for name in COMMANDS:
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "{__file__}" "{state}" {name} "$@"\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return state


def warn(state: Path, job: str) -> None:
    """Slurm's warning before the time limit, which the batch script alone gets: --signal=B:USR1@..."""
    os.kill(int((state / f"{job}.pid").read_text()), signal.SIGUSR1)


def sbatch(state: Path, *args: str) -> int:
    with (state / "asked").open("a") as file:
        print(*args, file=file)
    if "--test-only" in args:
        for arg in args:
            if arg.startswith("--account=") and arg != "--account=ours":
                return _fail("sbatch: error: Batch job submission failed: Invalid account specified")
        return 0
    script = Path(args[0])
    text = script.read_text()
    (state / "script").write_text(text)
    limit = int((state / "limit").read_text()) if (state / "limit").exists() else 1000
    array = re.search(r"--array=0-(\d+)", text)
    places = [f"_{i}" for i in range(int(array[1]) + 1)] if array else [""]
    if len(places) > limit:
        return _fail("sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates "
                     "accounting/QOS policy")  # fmt: skip
    number = 1 + max((int(path.name.split("_")[0]) for path in state.glob("[0-9]*") if "." not in path.name), default=0)
    output = re.search(r"--output=(\S+)", text)
    assert output is not None
    for place in places:
        name = f"{number}{place or '_0'}"
        (state / name).write_text("PENDING" if (state / "queued").exists() else "RUNNING")
        log = output[1].replace("%A", str(number)).replace("%a", place[1:]).replace("%j", str(number))
        environment = {**os.environ, "SLURM_JOB_ID": str(number)}
        if place:
            environment |= {"SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": place[1:]}
        else:
            (state / f"{number}.alone").touch()
        if not (state / "queued").exists():
            subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, str(state), "supervise", name, str(script), log],
                env=environment, start_new_session=True, stdin=-3, stdout=-3, stderr=-3,
            )  # fmt: skip
    print(f"Submitted batch job {number}")
    return 0


def supervise(state: Path, name: str, script: str, log: str) -> int:
    """A job, as a node runs it: again where it was put back into the queue."""
    while True:
        with open(log, "ab") as output:
            job = subprocess.Popen(["bash", script], stdout=output, stderr=output)
        (state / f"{name}.pid").write_text(str(job.pid))
        code = job.wait()
        if not (state / f"{name}.requeue").exists():
            break
        (state / f"{name}.requeue").unlink()
        (state / name).write_text("RUNNING")
    if (state / name).read_text() not in ENDED:
        _write(state / name, "FAILED" if code else "COMPLETED")
    return 0


def squeue(state: Path, *args: str) -> int:
    assert args[-1] == "--format=%F|%K|%T|%N|%r", args
    if (state / "down").exists():
        return _fail("slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    for path in state.glob("[0-9]*_*"):
        if "." not in path.name:
            number, place = path.name.split("_")
            alone = place == "rest" or (state / f"{number}.alone").exists()
            print(f"{number}|{'N/A' if alone else place}|{path.read_text()}|here|None")
    return 0


def scancel(state: Path, *args: str) -> int:
    if (state / "down").exists():
        return _fail("scancel: error: Unable to contact slurm controller (connect failure)")
    with (state / "cancelled").open("a") as file:
        print(*args, file=file)
    wanted = next((arg.partition("=")[2] for arg in args if arg.startswith("--state=")), "")
    number, found = next((arg.partition("=")[2] for arg in args if arg.startswith("--signal=")), ""), False
    for path in state.glob("[0-9]*_*"):
        named = path.name in args or path.name.split("_")[0] in args
        if "." in path.name or not named or path.read_text() in ENDED or (wanted and path.read_text() != wanted):
            continue
        found = True
        if path.read_text() == "PENDING":  # of an array, what never began is told of together
            path.unlink()
            _write(path.with_name(f"{path.name.split('_')[0]}_rest"), "CANCELLED")
        elif not number:
            _write(path, "CANCELLED")
        if (pid := state / f"{path.name}.pid").exists():
            first = int(pid.read_text())
            everyone = [first] if "--batch" in args else [*_below(first), first]
            for process in everyone:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.Signals[f"SIG{number or 'TERM'}"])
    return int(bool(wanted and not found))


def scontrol(state: Path, *args: str) -> int:
    if args == ("ping",):
        down = (state / "down").exists()
        print(f"Slurmctld(primary) at here is {'DOWN' if down else 'UP'}")
        return int(down)
    if args == ("show", "config"):
        print("Configuration data\nMaxArraySize            = 1001\nMinJobAge = 300 sec")
    if args[0] == "requeue":
        name = args[1] if "_" in args[1] else f"{args[1]}_0"
        (state / f"{name}.requeue").touch()
        _write(state / name, "PENDING")
    return 0


def sinfo(state: Path, *args: str) -> int:
    assert args == ("--noheader", "--exact", "--format=%P|%c|%m|%G|%l|%L|%a"), args
    print(*NODES, sep="\n")
    return 0


def _below(process: int) -> list[int]:
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []
    return [below for child in map(int, children) for below in (*_below(child), child)]


def _write(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text)
    part.rename(path)


def _fail(text: str) -> int:
    print(text, file=sys.stderr)
    return 1


def until(done: object, seconds: float = 20.0) -> None:
    """Wait until ``done()`` is true."""
    end = time.monotonic() + seconds
    while not done():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(globals()[sys.argv[2]](Path(sys.argv[1]), *sys.argv[3:]))
