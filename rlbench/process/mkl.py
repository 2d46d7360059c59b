"""The code path of MKL, torch's maths on a CPU: the fastest that gives the same bits wherever an operand lies.

MKL takes its path when it first runs, from MKL_CBWR in the environment, and keeps it. Left to itself it chooses anew
for every operand, by where that lies in memory, and with it the last bits of a product. What a user has set stays.
"""

import os
import platform
import sys
from collections.abc import Callable

VARIABLE, OURS = "MKL_CBWR", "RLBENCH_MKL_CBWR"  # the second says what we put into the first, to child processes too
_NEEDS = {"AVX512": {"avx512f", "avx512bw", "avx512dq", "avx512vl"}, "AVX2": {"avx2", "fma"}, "COMPATIBLE": set()}


def modes() -> list[str]:
    """Those that this CPU has, the fastest first."""
    flags = set(_cpu("flags").split())
    return [mode for mode, needed in _NEEDS.items() if needed <= flags] if flags else ["AVX2", "COMPATIBLE"]


def cpu() -> str:
    """The CPU's name where the system tells it, else its architecture."""
    return _cpu("model name") or platform.machine()


def choose(mode: str = "") -> None:
    """Ask for ``mode``, by default the fastest, unless the user has asked for another. Takes effect until MKL runs."""
    if os.environ.get(VARIABLE, "") == os.environ.get(OURS, ""):
        os.environ[VARIABLE] = os.environ[OURS] = mode or os.environ.get(OURS) or modes()[0]


def slower() -> str:
    """The next slower mode than what `choose` asked for; empty where there is none, or where the user has chosen."""
    known, ours = modes(), os.environ.get(OURS, "")
    if ours not in known or os.environ.get(VARIABLE) != ours:
        return ""
    return (known[known.index(ours) + 1 :] or [""])[0]


def restart(mode: str, execute: Callable[[str, list[str], dict[str, str]], object] = os.execve) -> None:
    """Begin this process again with ``mode``: it is too late to change it."""
    execute(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, VARIABLE: mode, OURS: mode})


def _cpu(field: str) -> str:
    """What /proc/cpuinfo says of the first processor; empty on systems without it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() == field:
                    return value.strip()
                if not line.strip():
                    break
    except OSError:
        pass
    return ""
