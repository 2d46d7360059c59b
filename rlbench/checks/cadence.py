"""Rows about when something is due, as hyper-parameters of known names say: updates, and those of a target network."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..agent_state import snapshot
from ..probing.answers import Fails, LeftOut
from ..probing.rows import row
from ..probing.states import numbers, pair_of, weights
from ..probing.subject import Subject
from ..probing.trial import Trial

GROUP = "learning"
STEPS, STARTS, EVERY = 240, 40, 4
WHOLE = 320  # env steps of a run whose end is seen
_NOT_LEARNED = ("adam", "optim", "target", "moment", "seen", "scale", "noise", "memory")  # names of other parts


@row(
    "updates-due",
    "as many updates come as learning_starts, train_every, rollout_steps, epochs and batch_size say",
    group=GROUP,
)
def updates_due(subject: Subject) -> None:
    if subject.has("train_every"):
        changes: dict[str, Any] = {"train_every": EVERY}
        changes |= {name: x for name, x in (("learning_starts", STARTS), ("updates_per_train", 1)) if subject.has(name)}
        trial, due = _trial(subject, 1, **changes), (STEPS - changes.get("learning_starts", 0)) // EVERY
        why = ", ".join(f"{name} {value}" for name, value in changes.items())
    elif subject.has("rollout_steps", "epochs", "batch_size"):
        trial = _trial(subject, 4, rollout_steps=12, epochs=3, batch_size=16)
        rollouts = STEPS // (4 * 12)
        due, why = rollouts * 3 * 3, f"{rollouts} rollouts of 12 steps of 4 envs, 3 epochs each in batches of 16"
    else:
        raise LeftOut("it has no hyper-parameters of these names")
    trial.go(STEPS // trial.spec.num_envs)
    if abs(trial.updates - due) > 2:
        cause = "an update is due less often, or more often, than the hyper-parameters say; or updates are not counted"
        raise Fails(f"Expected {due} updates of {why}; came {trial.updates}, {subject.whereabouts()}.", cause)


def _trial(subject: Subject, num_envs: int, **changes: Any) -> Trial:
    return subject.trial(num_envs=num_envs, seeds=(0, 1), config=subject.config_with(**changes))


@row("target-network", "a target network follows the other one as tau and target_update_every say", group=GROUP)
def target_network(subject: Subject) -> None:
    if not (subject.has("tau") or subject.has("target_update_every")):
        raise LeftOut("it has no hyper-parameters tau and target_update_every")
    usual = {"train_every": 1, "learning_starts": 20, "updates_per_train": 1, "target_update_every": 1}
    for changes in ({"tau": 0.25}, {"tau": 1.0, "target_update_every": 5}):
        if all(subject.has(name) for name in changes):
            known = {name: value for name, value in {**usual, **changes}.items() if subject.has(name)}
            _follows(subject, known)


def _follows(subject: Subject, changes: dict[str, Any]) -> None:
    trial = _trial(subject, 1, **changes)
    tau, every = changes["tau"], changes.get("target_update_every", 1)
    trial.go(22)
    pair = pair_of(trial.agent.state_dict())
    if pair is None:
        raise LeftOut("state_dict names no target network with another one of the same shapes beside it")
    online, target = pair
    for _ in range(12):
        before, count = snapshot(trial.agent.state_dict()), trial.updates
        trial.step()
        after = trial.agent.state_dict()
        if trial.updates != count + 1:
            continue
        due = trial.updates % every == 0
        pairs = zip(_floats(before[target]), _floats(after[target]), _floats(after[online]), strict=True)
        off = max(float((now - (was + (tau * due) * (new - was))).abs().max()) for was, now, new in pairs)
        if not off < 1e-5:
            what = f"{tau:g} of the way to {online}" if due else "where it was"
            moved = max(_moved(before[target], after[target]), default=0.0)
            told = ", ".join(
                f"{name} {value:g}" for name, value in changes.items() if name in ("tau", "target_update_every")
            )
            raise Fails(
                f"Expected {target} to be {what} after update {trial.updates}, of {told}; moved {moved:.2g}, it is "
                f"off by {off:.2g}, {subject.whereabouts()}.",
                "the target network is never moved, at every update, by the other share, or is the same network",
            )


def _moved(before: Any, after: Any) -> list[float]:
    return [float((one - other).abs().max()) for one, other in zip(_floats(before), _floats(after), strict=True)]


def _floats(state: Any) -> list[Tensor]:
    return [x.double() for x in numbers(state).values()]


@row("rate-falls", "the step size falls to learning_rate_end over the whole run", group=GROUP)
def rate_falls(subject: Subject) -> None:
    names = ("learning_rate", "learning_rate_end")
    fields = type(subject.config).model_fields
    if not all(name in fields for name in names):
        raise LeftOut("it has no hyper-parameters learning_rate and learning_rate_end")
    rate = float(getattr(subject.config, "learning_rate", 0.0) or 1e-3)
    short = {"learning_starts": 8, "train_every": 1} | dict(zip(names, (rate, rate * 1e-6), strict=True))
    config = subject.config_with(**{name: x for name, x in short.items() if name in fields})
    trial = subject.trial(config=config, total_steps=WHOLE)
    moved: list[tuple[float, float]] = []  # the share of the run that is over, and how far an update went
    before = _learned(trial, weights) or _learned(trial, numbers)  # weights that were drawn, or a table
    while trial.env_steps < WHOLE:
        count = trial.updates
        trial.step()
        if trial.updates > count:
            now = _learned(trial, numbers)
            far = sum(float((now[name] - x).abs().sum()) for name, x in before.items()) / (trial.updates - count)
            moved.append((trial.env_steps / WHOLE, far))
            before = {name: now[name] for name in before}
    first = [far for share, far in moved if share <= 0.35]
    last = [far for share, far in moved if share > 0.94]
    if not first or not last or not sum(first):
        raise LeftOut(f"it did not learn at both ends, {subject.whereabouts()}")
    came = (sum(last) / len(last)) / (sum(first) / len(first))
    if came > 0.35:
        raise Fails(
            f"Expected updates at the end of a run of {WHOLE} env steps to go a tenth as far as at first, where "
            f"learning_rate_end is {rate * 1e-6:g}, came {came:.2f} times as far, {subject.whereabouts()}.",
            "the schedule runs backwards, or counts something else than env steps of a seed, or not to total_steps",
        )


def _learned(trial: Trial, which: Callable[[Any], dict[str, Tensor]]) -> dict[str, Tensor]:
    """What it learns, and not what it remembers of gradients, or copies."""
    held = which(trial.held()["agent"])
    return {name: x for name, x in held.items() if not any(word in name.lower() for word in _NOT_LEARNED)}
