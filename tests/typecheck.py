"""Type-checks the package in the shape in which it is installed.

mypy does not follow `package_dir` of setup.cfg, so this lays that shape out under build/typecheck/ with symlinks and
runs mypy there. Usage: `python tests/typecheck.py [mypy options]`; the exit code is mypy's.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAYOUT = ROOT / "build" / "typecheck"
MAPPED = ("agents", "envs", "experiments")


def lay_out() -> None:
    """Makes LAYOUT/rlbench afresh, a folder of relative symlinks to rlbench/* and to the mapped folders."""
    package = LAYOUT / "rlbench"
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir(parents=True)
    for source in [*(ROOT / "rlbench").iterdir(), *(ROOT / name for name in MAPPED)]:
        if source.name != "__pycache__":
            (package / source.name).symlink_to(os.path.relpath(source, package))


def main() -> int:
    lay_out()
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "-p", "rlbench"]
    result = subprocess.run([*command, *sys.argv[1:]], cwd=LAYOUT, stdout=subprocess.PIPE, text=True)
    # Name the files as they lie in the checkout, so that an editor can jump there.
    print(re.sub(rf"^rlbench/(?=(?:{'|'.join(MAPPED)})/)", "", result.stdout, flags=re.MULTILINE), end="")
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
