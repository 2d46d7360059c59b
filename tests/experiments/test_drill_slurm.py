"""Slurm on this machine: what is missing is told. The drill needs one: `python -m rlbench.experiments.drills slurm`."""

import os
import subprocess
from pathlib import Path

import click
import pytest
from rlbench.experiments.drills import slurmd


def test_a_machine_without_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path: None if name == "slurmd" else f"/nowhere/{name}")
    with pytest.raises(click.ClickException, match=r"no slurmd here\. On Debian: apt-get install slurm-wlm munge"):
        slurmd.slurm_here().__enter__()


def test_a_daemon_that_does_not_come_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own words are told, and those that run already are ended."""
    socket = 'for arg; do case "$arg" in --socket=*) : > "${arg#*=}";; esac; done; exec sleep 60'
    programs = {"munged": socket, "slurmctld": "echo no port", "slurmd": "exec sleep 60", "sbatch": "", "sinfo": ""}
    for name, does in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("SLURM_CONF", raising=False)
    began: list[subprocess.Popen[bytes]] = []
    start = slurmd._start
    monkeypatch.setattr(slurmd, "_start", lambda *args: began.append(start(*args)) or began[-1])
    with pytest.raises(click.ClickException, match="slurmctld ended: no port"), slurmd.slurm_here():
        pass
    assert all(process.returncode is not None for process in began)
    assert "SLURM_CONF" not in os.environ
