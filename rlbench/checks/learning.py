"""Rows about whether it learns at all: parameters move, numbers stay finite, updates are counted and come in time."""

import time
from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..agent_state import same
from ..lessons import probes
from ..lessons.known import Walk
from ..probing.answers import Fails, LeftOut
from ..probing.rows import row
from ..probing.states import numbers, weights
from ..probing.subject import Subject
from ..probing.trial import Trial
from ..types import Transition

GROUP = "learning"
PATIENCE = 6.0  # seconds that a copy of weights has to be brought up to date
Key = tuple[int, str]  # a seed, and where in its state something stands
LATE = 1_100  # updates, likewise: targets that are copied every thousand are not rare


@row("parameters-move", "parameters move with updates, those of every seed", group=GROUP)
def parameters_move(subject: Subject) -> None:
    for place in subject.places():
        trial = subject.trial(place)
        if not numbers(trial.held()["agent"]):
            raise LeftOut("its state holds no numbers that could move")
        before = [numbers(subject.seed_of(trial, s)["agent"]) for s in range(2)]
        _learn(subject, trial, 12)  # of a table that is 0, steps that pay nothing move nothing
        for s, ours in enumerate(before):
            theirs = numbers(subject.seed_of(trial, s)["agent"])
            if all(x.shape == theirs[name].shape and bool((x == theirs[name]).all()) for name, x in ours.items()):
                raise Fails(
                    f"Expected parameters of seed {s} to move, came the same ones, {subject.whereabouts()}.",
                    "the optimiser steps on nothing: a zero or detached gradient, or parameters that it was not given",
                )


def _learn(subject: Subject, trial: Trial, updates: int, most: int = 400) -> None:
    """Let it learn, or say that it does not."""
    trial.learn(updates, most)
    if not trial.updates:
        raise Fails(
            f"Expected updates, came none, {subject.whereabouts()}.",
            "update never learns, or agent.updates is not counted; or learning begins later: --set its first step",
        )


@row("every-env", "it learns of what happens in every env", group=GROUP)
def every_env(subject: Subject) -> None:
    """As it is, and with other rewards in one of the envs: that must lead to something else. Where it can be, also in
    episodes of one step, which end in all envs together."""
    _every_env(subject, subject.places()[0], {})
    if subject.env is None and subject.first == "vector":
        _every_env(subject, Walk, {"known": probes.CONSTANT})


def _every_env(subject: Subject, place: Any, kwargs: dict[str, Any]) -> None:
    envs = 3

    def learned(paid: int | None) -> tuple[dict[str, Tensor], int]:
        trial = subject.trial(place, (0, 1), envs, env_kwargs=kwargs)
        observe = trial.agent.observe

        def other(transition: Transition) -> None:
            reward = transition.reward.clone()
            if paid is not None:
                reward[:, paid] += 1.0
            observe(transition._replace(reward=reward))

        trial.agent.observe = other  # type: ignore[method-assign]
        trial.learn(12, 120)
        return numbers(trial.held()["agent"]), trial.updates

    usual, updates = learned(None)
    if not updates:
        raise LeftOut(f"it did not learn, {subject.whereabouts()}")
    for paid in range(envs):
        came, _ = learned(paid)
        if same(usual, came):
            raise Fails(
                f"Expected what env {paid} of {envs} is paid to change what is learned, came the same to the last bit, "
                f"{subject.whereabouts()}.",
                "steps of some envs are thrown away: an index of 0, or a return or break inside the loop over envs",
            )


@row("weights-move", "all weights that were drawn move, copies of others too", group=GROUP)
def weights_move(subject: Subject) -> None:
    trial = subject.trial(subject.places()[0])
    before = {key: x for s in (0, 1) for key, x in _held(subject, trial, s, weights).items()}
    if not before:
        raise LeftOut("its state holds no weights that were drawn")
    _learn(subject, trial, 12)
    still = _still(subject, before, trial)
    own = [key for key in still if not _has_twin(key, before)]
    if own:
        raise Fails(
            f"Expected all weights to move, {_named(own[0])} came as it was, {subject.whereabouts()}.",
            "it begins with other weights than the network that it follows: copy them when it is built"
            if "target" in own[0][1].lower()
            else "no gradient reaches it, or the optimiser was not given it; if that is meant: --without weights-move",
        )
    until = time.perf_counter() + PATIENCE
    while still and trial.updates < LATE and time.perf_counter() < until:
        trial.learn(50)
        still = _still(subject, before, trial)
    if still and trial.updates >= LATE:
        raise Fails(
            f"Expected copies of weights to follow them, {_named(still[0])} came as it was, {subject.whereabouts()}.",
            "a target network is never brought up to date; if that is meant: --without weights-move",
        )
    if still:
        raise LeftOut(f"{_named(still[0])}, a copy, had not moved {subject.whereabouts()}, and time was up")


def _held(subject: Subject, trial: Trial, s: int, which: Callable[[Any], dict[str, Tensor]]) -> dict[Key, Tensor]:
    return {(s, name): x for name, x in which(subject.seed_of(trial, s)["agent"]).items()}


def _still(subject: Subject, before: dict[Key, Tensor], trial: Trial) -> list[Key]:
    """What has not moved since."""
    now = {key: x for s in (0, 1) for key, x in _held(subject, trial, s, numbers).items()}
    return [key for key, x in before.items() if key in now and same(x, now[key])]


def _has_twin(key: Key, before: dict[Key, Tensor]) -> bool:
    """Whether other weights of the seed began as these."""
    return any(other != key and other[0] == key[0] and same(x, before[key]) for other, x in before.items())


def _named(key: Key) -> str:
    return f"{key[1]} of seed {key[0]}"


@row("finite", "metrics and parameters stay finite", group=GROUP)
def finite(subject: Subject) -> None:
    for place in subject.places():
        trial = subject.trial(place)
        for step in trial.go(60):
            for name, x in step.metrics.items():
                fits = x.isfinite() | x.isnan() if trial.agent.nan_is_silence else x.isfinite()
                if not fits.all():
                    raise Fails(
                        f"Expected finite metrics, came {name} = {x.tolist()}, {subject.whereabouts()}.",
                        "a division by zero, a logarithm of 0, or a step size that is too large",
                    )
        for name, x in numbers(trial.held()["agent"]).items():
            if not x.isfinite().all():
                raise Fails(
                    f"Expected finite numbers in its state, came {name} with others, {subject.whereabouts()}.",
                    "a division by zero, a logarithm of 0, or a step size that is too large",
                )


@row("counted", "updates are counted, and told of when there were any", group=GROUP)
def counted(subject: Subject) -> None:
    trial = subject.trial(subject.places()[0], seeds=(0,))
    state, before = trial.held()["agent"], trial.updates
    while trial.taken < 400 and trial.updates < 6:
        step = trial.step()
        now = trial.updates
        if type(now) is not int:
            raise Fails(
                f"Expected an int as agent.updates, came a {type(now).__name__}.", "it counts by something else"
            )
        if step.metrics and now <= before:
            raise Fails(
                f"Expected agent.updates to grow where update gave metrics, came {before} and {now}, "
                f"{subject.whereabouts()}.",
                "update learns and does not count: self.updates += 1; or it gives metrics where nothing was due",
            )
        if not step.metrics and now > before:
            raise Fails(
                f"Expected metrics where agent.updates grew, came {{}}, {subject.whereabouts()}.",
                "update learns and returns nothing",
            )
        before = now
    if before:
        return
    moved = {name for name, x in numbers(trial.held()["agent"]).items() if not bool((x == numbers(state)[name]).all())}
    if moved & weights(state).keys():
        raise Fails(
            f"Expected agent.updates to grow, came 0 though {min(moved)} moved, {subject.whereabouts()}.",
            "updates are not counted: self.updates += 1",
        )
    raise LeftOut(f"it did not learn, {subject.whereabouts()}")


@row(
    "by-env-steps",
    "learning begins and goes on by env steps of a seed, or by whole rollouts, whatever E is",
    group=GROUP,
)
def by_env_steps(subject: Subject) -> None:
    asked = False
    if subject.has("learning_starts"):
        asked = True
        for envs in (1, 4):
            _starts(subject, envs)
    if subject.has("train_every", "learning_starts"):
        asked = True
        _every(subject)
    if subject.has("rollout_steps"):
        asked = True
        _rollouts(subject)
    if not asked:
        raise LeftOut("it has no learning_starts, train_every or rollout_steps")


def _starts(subject: Subject, envs: int) -> None:
    start, slack = 40, 64
    trial = subject.trial(num_envs=envs, config=subject.config_with(learning_starts=start))
    while trial.env_steps < start + slack and not trial.updates:
        trial.step()
    expected = f"Expected the first update from env step {start} on, where learning_starts = {start} and E = {envs}"
    if trial.updates and trial.env_steps < start:
        raise Fails(f"{expected}, came one at {trial.env_steps}.", "learning_starts is not heeded")
    if not trial.updates:
        raise Fails(
            f"{expected}, came none up to {trial.env_steps}.",
            "learning_starts counts vector steps: add spec.num_envs at every observe, not 1",
        )


def _every(subject: Subject) -> None:
    def updates(every: int, envs: int) -> int:
        config = subject.config_with(train_every=every, learning_starts=24)
        trial = subject.trial(num_envs=envs, config=config)
        trial.go(24 // envs)
        before = trial.updates
        trial.go(120 // envs)
        return trial.updates - before

    base = updates(2, 1)
    for every, envs, expected in ((4, 1, base / 2), (2, 2, base), (4, 3, base / 2)):
        came = updates(every, envs)
        if abs(came - expected) > 3:
            raise Fails(
                f"Expected {expected:g} updates in 120 env steps with train_every = {every} and E = {envs}, as with "
                f"train_every = 2 and E = 1 there are {base}, came {came}.",
                "train_every counts something else than env steps of a seed",
            )


def _rollouts(subject: Subject) -> None:
    steps = 8
    start = {"learning_starts": 0} if subject.has("learning_starts") else {}
    for envs in (2, 3):
        trial = subject.trial(num_envs=envs, config=subject.config_with(rollout_steps=steps, **start))
        came = [i + 1 for i, step in enumerate(trial.go(3 * steps)) if step.metrics]
        if came != [steps, 2 * steps, 3 * steps]:
            raise Fails(
                f"Expected updates after {steps}, {2 * steps} and {3 * steps} steps with rollout_steps = {steps} and "
                f"E = {envs}, came after {came}.",
                "rollout_steps counts something else than steps of each env, or a rollout is not forgotten",
            )
