"""Rows about seeds: each has numbers of its own, the same ones every time, alone and beside others."""

from typing import Any

import torch

from ..agent_state import same
from ..probing.answers import Fails, LeftOut
from ..probing.rows import row
from ..probing.states import difference, weights
from ..probing.subject import Subject
from .exploring import drawn

GROUP = "seeds"
STEPS = 40
OTHERS = "random numbers come from elsewhere than streams, or rng; or from the clock, or the order of a set"


@row("deterministic", "the same seeds give the same numbers twice", group=GROUP)
def deterministic(subject: Subject) -> None:
    for place, config in subject.variants():
        one, two = (subject.trial(place, config=config) for _ in range(2))
        if found := difference(one.held(), two.held()):
            raise Fails(
                f"Expected the same state twice when it is built, {found}, on {subject.described(place)}.",
                "initial weights come from a generator other than streams['init'], or rng",
            )
        for i, (ours, theirs) in enumerate(zip(one.go(STEPS), two.go(STEPS), strict=True)):
            if not torch.equal(ours.transition.action, theirs.transition.action):
                raise Fails(
                    f"Expected the same actions twice, came others at step {i + 1}, {subject.whereabouts()}.",
                    OTHERS,
                )
        if found := difference(one.held(), two.held()):
            raise Fails(
                f"Expected the same state twice, {found}, {subject.whereabouts()}.",
                OTHERS,
            )


@row("seeds-differ", "different seeds explore and begin differently", group=GROUP)
def seeds_differ(subject: Subject) -> None:
    trial = subject.trial(subject.places()[0], range(3))
    ours, theirs = (weights(subject.seed_of(trial, s)["agent"]) for s in (0, 1))
    for name in [name for name in ours if name in theirs]:
        if same(ours[name], theirs[name]):
            raise Fails(
                f"Expected seeds to begin with weights of their own, came {name} alike for seeds 0 and 1, "
                f"{subject.whereabouts()}.",
                "one seed's weights are repeated, or all are drawn with one seed",
            )
    actions, _ = drawn(trial, 2, 60)
    if bool((actions == actions[0]).all()):
        raise LeftOut("what it does at first does not change while it sees the same")
    if torch.equal(actions[:, 0], actions[:, 1]):
        raise Fails(
            f"Expected seeds to explore differently, came the same actions for seeds 0 and 1 in 60 looks on "
            f"{subject.described(subject.places()[0])}.",
            "exploration is seeded by a constant, or drawn once for all seeds",
        )


@row("apart", "no seed sees another: what one learns does not depend on who is beside it", group=GROUP)
def apart(subject: Subject) -> None:
    for place, config in subject.variants():
        one, two = (subject.trial(place, (1, other), config=config) for other in (2, 3))
        one.go(STEPS)
        two.go(STEPS)
        if found := difference(*(subject.seed_of(trial, 0) for trial in (one, two))):
            raise Fails(
                f"Expected seed 1 to be the same beside seed 2 and beside seed 3, {found}, {subject.whereabouts()}.",
                "seeds are mixed: a mean, a norm to clip by, moments or a decision taken over all of them",
            )


@row("width", "a seed has the same bits alone and among others", group=GROUP)
def width(subject: Subject) -> None:
    for place, config in subject.variants():
        _width(subject, place, config)
    if subject.has("max_grad_norm"):  # gradients that are clipped, by their own norm
        _width(subject, subject.places()[0], subject.config_with(max_grad_norm=0.05))


def _width(subject: Subject, place: str, config: Any) -> None:
    alone = subject.trial(place, (1,), 3, config=config)
    among = subject.trial(place, (0, 1, 2), 3, config=config)
    for i in range(STEPS):
        ours, theirs = alone.step(), among.step()
        for name, x in (("actions", ours.transition.action), *ours.metrics.items()):
            other = theirs.transition.action if name == "actions" else theirs.metrics.get(name)
            if other is not None and not same(x[0], other[1]) and not (among.agent.nan_is_silence and x.isnan().any()):
                raise Fails(
                    f"Expected the same {name} of a seed alone and among three, came {other[1].flatten()[:3].tolist()} "
                    f"instead of {x[0].flatten()[:3].tolist()} at step {i + 1}, {subject.whereabouts()}.",
                    WIDTH,
                )
    if found := difference(subject.seed_of(alone, 0), subject.seed_of(among, 1)):
        raise Fails(
            f"Expected the same state of a seed alone and among three, {found}, {subject.whereabouts()}.", WIDTH
        )


WIDTH = (
    "a mean over seeds in place of a sum, or an operation that rounds otherwise for other S: `rlbench list operations`"
)
