"""What tests of engines run in place of `rlbench.cells`: counts in its folder, saves when it is asked to, and ends.

The recipe says what it does: ``steps`` to count up to, ``each`` seconds for one, ``code`` to end with, ``die`` of a
signal; where it was stopped it goes on.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

order = json.loads(Path(sys.argv[1]).read_text())
folder, recipe = Path(order["folder"]), order["recipe"]
folder.mkdir(parents=True, exist_ok=True)
asked: list[int] = []
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, lambda number, frame: asked.append(number))
saved = folder / "saved"
steps = int(saved.read_text()) if saved.exists() else 0
with (folder / "began").open("a") as file:
    print(steps, os.environ.get("MKL_CBWR", ""), file=file)
while steps < recipe["steps"] and not asked:
    time.sleep(recipe.get("each", 0.01))
    steps += recipe.get("pace", 1)
saved.write_text(str(steps))
attempt = {"attempt": order["attempt"], "state": "stopped" if asked else "done", "env_steps": steps}
(folder / "attempt.json").write_text(json.dumps(attempt))
if len(asked) > 1:
    sys.exit(130)  # a second signal would have stopped a run without saving
if "die" in recipe:
    os.kill(os.getpid(), recipe["die"])
sys.exit(128 + asked[0] if asked else recipe.get("code", 0))
