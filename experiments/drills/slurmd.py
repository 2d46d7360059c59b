"""Slurm on this machine, for drills and for trying it out: munge, a controller and one node, in a folder of their own.

``python -m rlbench.experiments.drills.slurmd`` starts it, says how to reach it, and ends it with Ctrl-C. It takes
Debian's packages slurm-wlm and munge (or another system's), and needs no systemd, no cgroups, no accounting. What the
system has in /etc is neither read nor changed; where it runs as root, jobs are root's.
"""

import contextlib
import getpass
import os
import platform
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from rlbench.process.orphans import when_the_parent_dies

DAEMONS = ("munged", "slurmctld", "slurmd")
SECONDS = 30.0  # until all of it answers
#: One node of so many cores and so much memory (MiB), whether the machine has them or not: Slurm only counts.
CPUS, MEMORY = 4, 8000
CONFIG = """\
ClusterName=drill
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={munge}/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
# Without cgroups: the processes of a job are found by their parents, and are bound to nothing.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
# Cores that the machine does not have are counted all the same.
SlurmdParameters=config_overrides
ReturnToService=2
SchedulerParameters=sched_interval=2
NodeName={host} NodeAddr=127.0.0.1 Boards=1 SocketsPerBoard=1 CoresPerSocket={cpus} ThreadsPerCore=1 CPUs={cpus} \
RealMemory={memory}
PartitionName=short Nodes=ALL Default=YES MaxTime=60
PartitionName=long Nodes=ALL MaxTime=INFINITE
"""


@contextlib.contextmanager
def slurm_here(cpus: int = CPUS, memory: int = MEMORY) -> Iterator[Path]:
    """Context in which Slurm runs here, and SLURM_CONF names its configuration, which is given; jobs end with it.

    Raises:
        ClickException: a program is missing, or does not come up; says which, and its last words.
    """
    search = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
    found = {name: shutil.which(name, path=search) for name in (*DAEMONS, "sbatch")}
    if missing := [name for name, path in found.items() if path is None]:
        raise click.ClickException(f"there is no {missing[0]} here. On Debian: apt-get install slurm-wlm munge")
    before = os.environ.get("SLURM_CONF")
    with (
        tempfile.TemporaryDirectory(prefix="slurm", ignore_cleanup_errors=True) as name,
        contextlib.ExitStack() as ends,
    ):
        folder, munge = Path(name), Path(name) / "munge"
        for part in ("state", "spool"):
            (folder / part).mkdir()
        munge.mkdir(mode=0o700)
        key = munge / "key"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))
        config = folder / "slurm.conf"
        config.write_text(
            CONFIG.format(
                host=platform.node().partition(".")[0], ports=_ports(2), user=getpass.getuser(), munge=munge,
                folder=folder, cpus=cpus, memory=memory,
            )
        )  # fmt: skip
        os.environ["SLURM_CONF"] = str(config)
        ends.callback(_restore, before)
        places = [f"--{part}={munge}/{part}" for part in ("socket", "pid-file", "log-file", "seed-file")]
        commands = {
            "munged": ["--foreground", "--force", f"--key-file={key}", *places],
            "slurmctld": ["-D", "-i"],
            "slurmd": ["-D"],
        }
        started: dict[str, subprocess.Popen[bytes]] = {}
        for daemon in DAEMONS:
            started[daemon] = _start([str(found[daemon]), *commands[daemon]], folder / f"{daemon}.txt")
            ends.callback(_end, started[daemon])
            if daemon == "munged":
                _until(lambda: (munge / "socket").exists(), started, folder)
        _until(lambda: "idle" in _said("sinfo", "--noheader", "--format=%T"), started, folder)
        ends.callback(_cancel_all)
        yield config


@click.command()
@click.option("--cpus", default=CPUS, show_default=True, help="Cores of the node.")
def main(cpus: int) -> None:
    """Run Slurm here until Ctrl-C."""
    with slurm_here(cpus) as config:
        click.echo(
            f"Slurm is up, with one node of {cpus} cores. In another shell:\n\nexport SLURM_CONF={config}\nsinfo"
        )
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """A daemon that does not outlive this process."""
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=lambda: when_the_parent_dies(signal.SIGTERM),
        )


def _until(done: Callable[[], bool], started: dict[str, subprocess.Popen[bytes]], folder: Path) -> None:
    """Wait for ``done``."""
    until = time.monotonic() + SECONDS
    while not done():
        ended = [daemon for daemon, process in started.items() if process.poll() is not None]
        if ended or time.monotonic() > until:
            daemon = (ended or list(started)[::-1])[0]
            logs = [path for path in (folder / f"{daemon}.txt", folder / "munge" / "log-file") if path.exists()]
            words = [line for path in logs for line in path.read_text(errors="replace").strip().splitlines()[-3:]]
            raise click.ClickException(f"{daemon} {'ended' if ended else 'does not answer'}: {' / '.join(words)}")
        time.sleep(0.1)


def _cancel_all() -> None:
    """Let no job outlive its node."""
    subprocess.run(["scancel", "--quiet", f"--user={os.getuid()}"], capture_output=True)
    until = time.monotonic() + 20
    while _said("squeue", "--noheader") and time.monotonic() < until:
        time.sleep(0.2)


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _restore(config: str | None) -> None:
    if config is None:
        os.environ.pop("SLURM_CONF", None)
    else:
        os.environ["SLURM_CONF"] = config


def _ports(count: int) -> list[int]:
    """Ports that nobody has now."""
    with contextlib.ExitStack() as open_:
        sockets = [open_.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


if __name__ == "__main__":
    main(prog_name="python -m rlbench.experiments.drills.slurmd")
