"""What is done with one environment: the commands of a plan, one after the other, and what is wrong with each."""

import json
import shutil
import signal
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..kill import same_ending
from . import commands
from .cases import EITHER, FAILS, FINE, REFUSED, Case
from .commands import Said
from .judge import silent_changes

STEPS = 60
PLANS = {FINE: ("train", "ctrl-c", "workers", "kill"), EITHER: ("train", "ctrl-c", "workers", "kill")}
BAD_PLANS = ("train", "workers", "later")
HERE = Path(__file__).parent


def run_case(case: Case, seed: int, plan: str | None, place: Path, show: bool) -> dict[str, Any]:
    """All of one case: its findings, and how many commands it took."""
    plans = PLANS.get(case.expect, BAD_PLANS if case.wrong else BAD_PLANS[:2])
    k = zlib.crc32(case.name.encode()) // 16 + seed  # decides the rest, wherever the case stands in the table
    findings, count = [], 0
    for one in plans if plan == "all" else (plan or plans[k % len(plans)],):
        drive = Drive(case, one, k // 12, place, show)
        drive.run()
        findings += drive.findings
        count += drive.count
    return {"case": case.name, "group": case.group, "commands": count, "findings": findings}


def shown(said: Said) -> str:
    """A command without its many settings."""
    words = list(said.args)
    while "--set" in words:
        at = words.index("--set")
        del words[at : at + 2]
    return " ".join(words).replace("--device cpu --progress none ", "")


class Drive:
    """One case in a folder of its own."""

    def __init__(self, case: Case, plan: str, k: int, place: Path, show: bool) -> None:
        self.case, self.plan, self.k, self.place, self.show = case, plan, k, place, show
        self.findings: list[dict[str, str]] = []
        self.count = 0
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for name in ("world.py", "keeper.py"):
            shutil.copy(HERE / name, place / name)
        (place / "case.json").write_text(json.dumps(case._asdict()))
        self.own = case.action[0] != "Discrete" or k // 6 % 2 == 1  # the agent that keeps what it sees, or dqn
        self.code = ["--import", "world.py", *(["--agent", "keeper.py:Keeper"] if self.own else [])]
        self.workers = "2" if plan == "workers" or (plan in ("ctrl-c", "kill") and k % 3 == 0) else "1"
        self.run_folder = place / "run"

    def run(self) -> None:
        getattr(self, "_" + self.plan.replace("-", "_"))()

    def found(self, kind: str, said: Said, what: str) -> None:
        self.findings.append(
            {"case": self.case.name, "plan": self.plan, "kind": kind, "command": shown(said), "what": what[:600]}
        )

    def call(self, args: Sequence[str], part: str, codes: tuple[int, ...], *, names: bool = False, **env: str) -> Said:
        """Run a command and judge what it said; ``codes`` are the exit codes that are right."""
        said = commands.call(args, self.place, {"ODD_PART": part, **env})
        self.count += 1
        if self.show:
            print(f"$ {said.shown}   [{self.case.name}]\n{said.out}{said.err}-> {said.code}", flush=True)
        message = " / ".join(said.errors)
        if said.code is None:
            self.found("hung", said, f"no end after {commands.PATIENCE:.0f} s. {message}")
            return said
        if "Traceback (most recent call last)" in said.out + said.err:
            self.found("traceback", said, said.errors[-1] if said.errors else message)
        if said.left and said.code != -signal.SIGKILL:
            self.found("left", said, f"{len(said.left)} processes: {said.left[0]}")
        if said.code not in codes:
            self.found("code", said, f"exit code {said.code}, not {codes}: {message or said.out[-200:]}")
        if (said.code in (1, 2) or said.code >= 128) and len(said.errors) != 1:
            self.found("lines", said, f"{len(said.errors)} lines: {message}")
        elif said.code == 0 and said.errors:
            self.found("noise", said, message)
        of_the_run = any(words in message for words in ("first checkpoint", "holds a run"))  # not about the environment
        named = of_the_run or any(word.lower() in message.lower() for word in self.case.names)
        if names and said.code in (1, 2) and not named:
            self.found("culprit", said, f"none of {self.case.names} in: {message}")
        return said

    def train(self, part: str, codes: tuple[int, ...], out: str = "run", **env: str) -> Said:
        keys = [f"eval_every={STEPS // 2 + 7}", "eval_episodes=1", "final_eval_episodes=2"]
        keys += ["checkpoint_every=20", "log_every=20"]
        if not self.own:
            keys += ["dqn.hidden=[8]", "dqn.batch_size=8", "dqn.learning_starts=10", "dqn.capacity=4096"]
        args = ["train", "--env", "Odd-v0", *self.code, "--seeds", "2", "--num-envs", str(1 + self.k // 12 % 2)]
        args += ["--total-steps", str(STEPS), "--workers", self.workers, "--device", "cpu", "--progress", "none"]
        args += ["--track", "tensorboard" if self.k % 5 == 0 else "none", "--out", out]
        args += [word for key in keys for word in ("--set", key)]
        return self.call(args, part, codes, names=bool(self.case.names) and "ODD_HEAL" not in env, **env)

    # plans

    def _train(self) -> None:
        said = self.train("train", self._codes())
        self._after_training(said, ["train"])

    _workers = _train

    def _ctrl_c(self) -> None:
        name = ("SIGINT", "SIGINT", "SIGTERM", "SIGHUP")[self.k % 4]
        self._stopped(name, {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}[name])

    def _kill(self) -> None:
        self._stopped("SIGKILL", -signal.SIGKILL)

    def _later(self) -> None:
        """A run of the sound environment, stopped half-way, meets the one that goes wrong in every command."""
        self.train("train", (130,), ODD_HEAL="1", ODD_SIGNAL=f"SIGINT:{self._moment()}")
        if not self._folders():
            return
        bad = (1, 2, 130) if "interrupt" in self.case.name else (1, 2)
        self.call(["train", "--resume", "run", *self.code], "resume", (0, *bad), names=True)
        for name in ("verify", "eval", "play", "again", "report", "plot"):
            self._follow(name, (0, *bad))
        said = self.call(["train", "--resume", "run", *self.code], "resume2", (0, 2), ODD_HEAL="1")
        if said.code == 0:
            self._values(said, ["train", "resume", "resume2"])

    def _stopped(self, name: str, code: int) -> None:
        """Stop a run by a signal in the middle, and go on with it."""
        killed = name == "SIGKILL"
        said = self.train("train", (*self._codes(), code), ODD_SIGNAL=f"{name}:{self._moment()}")
        if said.code != code:  # it said why before, or was over
            self._after_training(said, ["train"])
            return
        if not killed:
            self._values(said, ["train"])
        advised = [words for words in commands.printed(said) if "--resume" in words]
        if not killed and not advised:
            self.found("lost", said, "no command to go on with is printed")
        resume = advised[0] if advised else ["train", "--resume", "run", *self.code]
        begun = self._folders()
        again = self.call(resume, "resume", self._codes() if begun else (0, 1, 2), names=bool(self.case.names))
        if not begun and killed and again.code:  # it had saved nothing yet
            again = self.train("resume", self._codes())
        self._after_training(again, ["train", "resume"], resumed=True)

    # what comes after

    def _codes(self) -> tuple[int, ...]:
        if "interrupt" in self.case.name:
            return (0, 130) if self.case.expect == EITHER else (130,)
        return {FINE: (0,), EITHER: (0, 1, 2), FAILS: (1,), REFUSED: (1, 2)}[self.case.expect]

    def _moment(self) -> int:
        """Of all steps of a process, the one at which a signal comes; now and then before the first checkpoint."""
        return (25 if self.k % 7 == 0 else 60 + 7 * self.k % 40) // int(self.workers)

    def _folders(self) -> list[Path]:
        places = [self.run_folder, *self.run_folder.glob("workers/*")]
        return [place for place in places if (place / "checkpoint.pth").exists()]

    def _after_training(self, said: Said, parts: list[str], *, resumed: bool = False) -> None:
        if said.code == 0:
            self._values(said, parts)
            self._finished(said, resumed)
        elif said.code in (1, 2, 130):
            self._failed(said, parts)

    def _values(self, said: Said, parts: list[str]) -> None:
        try:
            wrong = silent_changes(self.run_folder, self.place, self.case, parts)
        except Exception as e:
            wrong = [f"the record cannot be read: {type(e).__name__}: {e}"]
        for what in wrong[:3]:
            self.found("types" if what.startswith("actions came as") else "silent", said, what)

    def _finished(self, said: Said, resumed: bool) -> None:
        """Training came to its end: all other commands work too, and it ended as its sound twin did."""
        if not (self.run_folder / "summary.json").exists():
            self.found("lost", said, "exit code 0, and there is no summary.json")
            return
        summary = json.loads((self.run_folder / "summary.json").read_text())
        if resumed and self.case.exact and not summary["exact"]:
            self.found("lost", said, "the resume is called inexact")
        if resumed and not self.case.exact and summary["exact"] and self.plan == "ctrl-c":
            self.found("silent", said, "the resume is called exact")
        meddles = self.case.group.endswith(("meddles", "raises", "exits"))
        twin = self.case.exact and self.case.expect == FINE and (meddles or resumed or self.k % 4 == 0)
        if twin:
            calm = self.train("twin", (0,), "twin", ODD_HEAL="1" if meddles else "")
            if calm.code == 0 and not same_ending(self.run_folder, self.place / "twin"):
                self.found("silent", said, "it ended otherwise than its twin that nothing happened to")
        sound = (0,) if self.case.expect == FINE else (0, 1)
        names = ["verify", "eval", "play", "again", "report", "plot", *(["compare"] if twin else [])]
        chosen = names if self.k % 3 == 0 else [names[0], names[1 + self.k % (len(names) - 1)]]
        for name in chosen:
            differs = not self.case.exact and name in ("verify", "again")
            self._follow(name, (1,) if differs and "reward" in self.case.wrong else (0, 1) if differs else sound)

    def _failed(self, said: Said, parts: list[str]) -> None:
        """Training said what went wrong: what was trained is there, and the commands that it printed work."""
        trained = self.case.at - 1 if self.case.expect in (FAILS, EITHER) else 0
        places = self._folders()
        advised = [words for words in commands.printed(said) if words[0] == "train"]
        if trained > 0 and self.run_folder.exists():
            if not places:
                self.found("lost", said, f"nothing is saved of {trained} steps: {' / '.join(said.errors)}")
            elif not any("--resume" in words for words in advised):
                self.found("lost", said, f"no command to go on with is printed: {' / '.join(said.errors)}")
            if places:
                self._values(said, parts)
        if not places:
            if self.run_folder.exists():  # the folder of a run that came to nothing may be used again
                self.train("again", (0,) if self.case.expect != REFUSED else (0, 1, 2), ODD_HEAL="1")
            return
        again = self.call(
            advised[0] if advised else ["train", "--resume", "run", *self.code], "mended", (0,), ODD_HEAL="1"
        )
        if again.code == 0:
            self._values(again, [*parts, "mended"])
            self._follow("verify", (0,), ODD_HEAL="1")

    def _follow(self, name: str, codes: tuple[int, ...], **env: str) -> None:
        """One of the commands that look at a run."""
        run, only = "run", ["--import", "world.py"]
        args = {
            "verify": ["verify", run, *only],
            "eval": ["eval", run, "--episodes", "2", *self.code],
            "play": ["play", run, "--no-render", "--episodes", "1", *self.code],
            "again": ["play", run, "--episode", "last", "--no-render", *only],
            "report": ["report", run, "--out", "report.html", *self.code],
            "plot": ["plot", run],
            "compare": ["compare", run, "twin"],
        }[name]
        self.call(args, name, codes, names=False, **env)
