"""`rlbench --help` answers in a blink: it imports nothing heavy."""

import json
import subprocess
import sys

HEAVY = ("torch", "matplotlib", "gymnasium", "scipy", "tensorboard")

SCRIPT = """
import json, sys
import rlbench.cli
try:
    rlbench.cli.main(["--help"], prog_name="rlbench")
except SystemExit as stop:
    print(json.dumps({"exit": stop.code, "modules": sorted(sys.modules)}))
"""


def test_help_imports_nothing_heavy() -> None:
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "Usage: rlbench" in result.stdout
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["exit"] == 0
    assert "rlbench.cli" in report["modules"]
    assert [name for name in HEAVY if name in report["modules"]] == []


def test_running_the_package_is_the_command() -> None:
    result = subprocess.run([sys.executable, "-m", "rlbench", "--help"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "Usage: rlbench" in result.stdout
