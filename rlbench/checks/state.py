"""Rows about state: what is saved is all that matters, is a copy, belongs to its seeds, and goes on bit for bit."""

from typing import Any

import torch
from torch import Tensor

from ..agent import AgentConfig
from ..agent_state import snapshot
from ..errors import CheckpointError, NoMemory, first_line
from ..probing.answers import Fails, LeftOut
from ..probing.rows import row
from ..probing.states import difference, leaves
from ..probing.subject import Subject
from ..probing.trial import Trial
from ..rng import Streams
from ..rollout.loop import Step
from ..runfolder.checkpoint_file import check_plain
from ..seed_axis import AxisError, axes_of
from ..training.stopped_seeds import narrow

GROUP = "state"
KEPT = (
    "load_state_dict keeps the tensors that it was given, as torch.optim's does: copy_ them, or load copy.deepcopy(it)"
)
FORGOTTEN = (
    "state_dict leaves something out that matters, or load_state_dict does: weights, moments, counters, schedules; or "
    "random numbers come from elsewhere than what it was given"
)


@row("plain-state", "state_dict holds tensors, numbers, texts, lists and dicts: what a file can hold", group=GROUP)
def plain_state(subject: Subject) -> None:
    for place, config in subject.variants():
        trial = subject.trial(place, config=config)
        for _ in range(2):
            state = trial.agent.state_dict()
            if not isinstance(state, dict):
                raise Fails(
                    f"Expected a dict, came a {type(state).__name__}, {subject.whereabouts()}.", "nothing is returned"
                )
            try:
                check_plain(state, "state_dict()")
                if trial.agent.replay is not None:
                    check_plain(trial.agent.replay.state_dict(), "replay.state_dict()")
            except CheckpointError as e:
                raise Fails(
                    f"{e} It was so {subject.whereabouts()}.", "something is given as it is, and not as tensors"
                ) from e
            trial.go(30)


@row("seed-axis", "every part of the state belongs to a seed, or is said to be shared", group=GROUP)
def seed_axis(subject: Subject) -> None:
    for place, config in subject.variants():
        two, three = (subject.trial(place, range(n), config=config) for n in (2, 3))
        for at in (0, 30):
            two.go(at)
            three.go(at)
            try:
                axes_of(two.agent.state_dict(), three.agent.state_dict(), (2, 3))
            except AxisError as e:
                raise Fails(
                    f"{str(e).rstrip('.')}, {subject.whereabouts()}.", "it has no leading axis of the seeds"
                ) from e


@row("resumes", "saved, built anew and loaded, it goes on bit for bit", group=GROUP)
def resumes(subject: Subject) -> None:
    for place, config in subject.variants():
        for at in (5, 21, 38) if place == subject.places()[0] and not subject.quick else (21,):
            _resume(subject, place, config, at)


def _resume(subject: Subject, place: str, config: AgentConfig, at: int) -> None:
    """Save after ``at`` steps, in the midst of episodes and rollouts, and go on with both."""
    whole = subject.trial(place, config=config)
    whole.go(at)
    file = whole.saved()
    again = subject.trial(place, config=config)
    again.restore(file)
    if found := difference(whole.held(), again.held()):
        raise Fails(
            f"Expected the state that was saved after {at} steps to be the one that is loaded, {found}, on "
            f"{subject.described(place)}.",
            "load_state_dict does not take over all that state_dict gives",
        )
    _together(subject, whole, again, 30, f"Saved after {at} steps and loaded, it was expected to go on as before;")


def _together(subject: Subject, whole: Trial, again: Trial, steps: int, expected: str) -> None:
    """Go on with both, which are to do the same."""
    for i in range(steps):
        ours, theirs = whole.step(), again.step()
        what = _apart(ours, theirs)
        if what:
            raise Fails(
                f"{expected} {what} came {i + 1} {'step' if not i else 'steps'} later, {subject.whereabouts()}.",
                FORGOTTEN,
            )
    if found := difference(whole.held(), again.held()):
        raise Fails(f"{expected} {found} {steps} steps later, {subject.whereabouts()}.", FORGOTTEN)


def _apart(ours: Step, theirs: Step) -> str:
    if not torch.equal(ours.transition.action, theirs.transition.action):
        return "other actions"
    if found := difference(dict(ours.metrics), dict(theirs.metrics)):
        return f"another metric ({found})"
    return ""


@row("loads-copies", "what is loaded is copied, and what was saved stays as it was", group=GROUP)
def loads_copies(subject: Subject) -> None:
    for place, config in subject.variants():
        trial = subject.trial(place, config=config)
        trial.go(25)
        held = trial.held()
        kept = trial.saved()
        again = subject.trial(place, config=config)
        given = again.restore(kept)
        before = snapshot({"agent": given["agent"], "replay": given["replay"]})
        again.go(25)
        if found := difference(before, {"agent": given["agent"], "replay": given["replay"]}):
            raise Fails(
                f"Expected what was given to load_state_dict to stay as it is, {found}, {subject.whereabouts()}.",
                KEPT,
            )
        trial.go(25)
        once = subject.trial(place, config=config)
        once.restore(kept)
        if found := difference(held, once.held()):
            raise Fails(
                f"Expected what was saved to stay as it was while training goes on, {found}, {subject.whereabouts()}.",
                "what is saved is no tensor and no copy, and changes later",
            )
        given = once.restore(kept)
        for _, x in leaves({"agent": given["agent"], "replay": given["replay"]}):
            if isinstance(x, Tensor):
                x.zero_()
        if found := difference(held, once.held()):
            raise Fails(
                f"Expected a copy of what was given to load_state_dict, {found} when that was set to 0, "
                f"{subject.whereabouts()}.",
                KEPT,
            )


@row("seeds-stop", "seeds can stop, and the others go on bit for bit", group=GROUP)
def seeds_stop(subject: Subject) -> None:
    for place, config in subject.variants():
        whole, fewer = (subject.trial(place, range(3), config=config) for _ in range(2))
        whole.go(23)
        fewer.go(23)

        def made(numbers: Any, like: Trial = fewer) -> tuple[Any, Streams]:
            streams = Streams(numbers)
            return like.cls(like.spec._replace(num_seeds=len(numbers)), like.config, streams), streams

        try:
            agent, streams = narrow(fewer.agent, made, fewer.streams, fewer.seeds, [0, 2])
        except NoMemory as e:
            raise LeftOut(str(e)) from e
        except ValueError as e:
            cause = "load_state_dict changes what it is given, or a part of the state is of another form for other S"
            raise Fails(f"Expected to go on with seeds 0 and 2 of three, came: {first_line(e)}.", cause) from e
        fewer.hand_over(agent, streams)
        whole.go(25)
        fewer.go(25)
        for s in (0, 2):
            if found := difference(*(subject.seed_of(trial, s) for trial in (whole, fewer))):
                raise Fails(
                    f"Expected seed {s} to go on as before when seed 1 had stopped, {found} 25 steps later, on "
                    f"{subject.described(place)}.",
                    "a part of the state belongs to no seed, or is left out of it; or seeds see each other",
                )


@row("cut", "it takes that episodes broke off, as where a run is resumed", group=GROUP)
def cut(subject: Subject) -> None:
    for place, config in subject.variants():
        trial = subject.trial(place, config=config)
        for step in range(30):
            trial.go(1)
            if step % 7 == 3:
                trial.agent.cut(torch.tensor([[True, False], [False, step > 10]]))
        trial.agent.cut(torch.ones(2, 2, dtype=torch.bool))
