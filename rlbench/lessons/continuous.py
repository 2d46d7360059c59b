"""Rows about actions that are numbers: the best ones are known, within the bounds and at them, and so are values."""

import math
from typing import Any

import numpy as np
import torch

from ..probing.answers import LeftOut
from ..probing.rows import row
from ..probing.subject import Subject
from ..probing.trial import Trial
from . import probes
from .asking import ask
from .lesson import GAMMA, Glance, learned, lesson, shown, taught, told
from .riddles import HIGH, LOW, PLACES, Aimed, Bent, best

GROUP, LIMIT = "values", 60.0
_OFF = 0.25  # of half of the way between the bounds
_DRAWS = 150


@row("aimed-actions", "of two numbers each goes where it pays most, by what is seen", group=GROUP, limit=LIMIT)
def aimed_actions(subject: Subject) -> None:
    subject.fitting("continuous")
    trial = lesson(subject, Aimed, {})
    pictures = [torch.tensor([x]).numpy() for x in PLACES]
    obs = shown(pictures, trial.spec)
    right = torch.stack([torch.from_numpy(best(x)) for x in PLACES])  # (N, 2)
    half = torch.from_numpy(HIGH - LOW) / 2

    def look(trial: Trial) -> Glance:
        done = trial.act(obs)  # (S, N, 2)
        off = ((done - right) / half).abs().flatten(1).amax(1)  # (S,)
        worst = int(off.nan_to_num(torch.inf).argmax())
        came, expected = (_pairs(x) for x in (done[worst], right))
        cause = (
            "the policy's gradient: its sign, a sum over the wrong axis, actions that are scaled twice or not; or "
            "it stays too wide, or goes further at once than it may: its deviation, temperature, ratios of chances"
        )
        return Glance(bool((off < _OFF).all()), f"the actions {expected}", came, cause)

    learned(subject, taught(trial, look))


@row(
    "greedy-middle",
    "actions that are numbers are greedily the middle of what it draws while exploring",
    group=GROUP,
    limit=LIMIT,
    quick=False,
)
def greedy_middle(subject: Subject) -> None:
    """Near a bound, where a squashed action and one that is not differ most; whether it aims well is not asked."""
    subject.fitting("continuous")
    trial = lesson(subject, Aimed, {"far": 1.3})
    obs = shown([torch.tensor([x]).numpy() for x in PLACES], trial.spec)
    half, centre = torch.from_numpy(HIGH - LOW) / 2, torch.from_numpy(HIGH + LOW) / 2

    def look(trial: Trial) -> Glance:
        done = trial.act(obs)  # (S, N, 2)
        drawn = torch.stack([trial.act(obs, explore=True) for _ in range(_DRAWS)])  # (times, S, N, 2)
        middle = drawn.median(0).values
        narrow = (drawn.quantile(0.75, 0) - drawn.quantile(0.25, 0)) / half < 0.5  # else the middle is not well known
        off = (((middle - done) / half).abs() * narrow).flatten(1).amax(1)  # (S,)
        worst = int(off.nan_to_num(torch.inf).argmax())
        came, expected = (_pairs(x[worst]) for x in (done, middle))
        cause = "greedy actions are made otherwise than those that are drawn: not squashed, or not scaled alike"
        if not bool((off < 0.15).all()):
            return Glance(False, f"{expected} greedily, which is the middle of its draws", came, cause)
        said = told(trial, obs).get("std")
        if said is None:
            return Glance(True)
        inside = ((middle - centre) / half).abs() + 2.5 * said / half < 1  # at a bound draws are cut
        apart = (drawn.double().std(0) / said.clamp(min=1e-6)).log().abs().nan_to_num(0.0) * inside
        s, n, i = np.unravel_index(int(apart.argmax()), apart.shape)
        cause = "actions are drawn with another deviation than the policy's: its logarithm, or its square"
        came = f"{float(drawn[:, s, n, i].std()):.2f}"
        return Glance(
            float(apart.max()) < 0.9,
            f"draws with the deviation that explain says, {float(said[s, n, i]):.2f}",
            came,
            cause,
        )

    learned(subject, taught(trial, look, least=1_800, most=3_000))


def _pairs(x: torch.Tensor) -> str:
    return str([[round(a, 2) for a in pair] for pair in x.tolist()])


@row("bounded-actions", "numbers go to their bound where that pays most", group=GROUP, limit=LIMIT, quick=False)
def bounded_actions(subject: Subject) -> None:
    subject.fitting("continuous")
    trial = lesson(subject, Bent, {"tilt": 1.0})
    obs = torch.ones(trial.spec.num_seeds, 1, 1)

    def look(trial: Trial) -> Glance:
        done = trial.act(obs)  # (S, 1, 2)
        low = float(done.nan_to_num(-torch.inf).min())
        cause = "actions do not reach their bounds, or what entropy is worth is more than what they pay: see spread"
        return Glance(low > 0.8, "actions near their bound of 1", f"{low:.2f}", cause)

    learned(subject, taught(trial, look))


@row(
    "continuous-ends",
    "with numbers as actions, too, a time limit is no termination",
    group=GROUP,
    limit=LIMIT,
    quick=False,
)
def continuous_ends(subject: Subject) -> None:
    subject.fitting("continuous")
    for known, tolerance, what in (
        (probes.TERMINATED, 0.3, "what follows a termination is counted on: mask it by `terminated`"),
        (probes.CUT, 0.5, "an end by `truncated` is not told from one by `terminated`"),
    ):
        ask(subject, known, tolerance, form="vector", continuous=True, cause=what)


def _spread(trial: Trial) -> torch.Tensor:
    """(S, 2): the deviations that it says its actions have."""
    said = told(trial, torch.ones(trial.spec.num_seeds, 1, 1))
    if "std" not in said:
        raise LeftOut("it does not say how its actions are spread: explain gives no std")
    return said["std"].squeeze(1)


def _spread_is(subject: Subject, low: float, high: float, bend: float, cause: str, **changes: Any) -> None:
    trial = lesson(subject, Bent, {"bend": bend}, **changes)

    def look(trial: Trial) -> Glance:
        std = _spread(trial)
        worst = int((std - (low + high) / 2).abs().amax(1).nan_to_num(torch.inf).argmax())
        came = ", ".join(f"{x:.2f}" for x in std[worst].tolist())
        right = bool(((std > low) & (std < high)).all())
        return Glance(right, f"deviations of {low:.2f} to {high:.2f} of the actions", came, cause)

    learned(subject, taught(trial, look, least=900, most=4_000))


@row(
    "spread",
    "a policy that entropy is worth something to is as wide as that makes it",
    group=GROUP,
    limit=LIMIT,
    quick=False,
)
def spread(subject: Subject) -> None:
    """Reward -4 a**2, and a nat of entropy is worth 1: the density of the best policy is as exp(-4 a**2), a normal one
    of deviation 0.35, which the bounds are far from."""
    subject.fitting("continuous")
    if not (subject.has("alpha", "learn_alpha") or subject.has("entropy_weight")):
        raise LeftOut("it has no hyper-parameter for the worth of entropy: alpha and learn_alpha, or entropy_weight")
    cause = "the entropy has the wrong sign, or the density is that before tanh: its correction is left out"
    _spread_is(
        subject, 0.15, 0.75, 4.0, cause,
        alpha=1.0, learn_alpha=False, entropy_weight=1.0, normalise_advantage=False, log_std=-1.0,
    )  # fmt: skip


@row("temperature", "the temperature moves until the entropy is what is wanted", group=GROUP, limit=LIMIT, quick=False)
def temperature(subject: Subject) -> None:
    """Two numbers with an entropy of 1 nat together have 0.5 each, as a normal distribution of deviation
    exp(0.5) / sqrt(2 pi e) = 0.40."""
    subject.fitting("continuous")
    if not subject.has("target_entropy", "learn_alpha"):
        raise LeftOut("it has no hyper-parameters target_entropy and learn_alpha")
    cause = "the temperature's gradient has the wrong sign, or the entropy is summed over the wrong axis"
    _spread_is(subject, 0.32, 0.48, 2.0, cause, target_entropy=1.0)


@row(
    "soft-values",
    "where entropy is worth something, that of later steps is part of the values",
    group=GROUP,
    limit=LIMIT,
    quick=False,
)
def soft_values(subject: Subject) -> None:
    """Two steps that pay nothing, where a nat of entropy is worth 1: what is best is to draw evenly, two numbers from
    -1 to 1, which is 2 log 2 = 1.39 nats. So an action of the first step is worth 0.8 of that, 1.11."""
    subject.fitting("continuous")
    if not subject.has("alpha", "learn_alpha", "gamma"):
        raise LeftOut("it has no hyper-parameters alpha, learn_alpha and gamma")
    trial = lesson(subject, Bent, {"steps": 2}, alpha=1.0, learn_alpha=False)
    obs = torch.zeros(trial.spec.num_seeds, 1, 1)
    nats = 2 * math.log(2)
    action, state = GAMMA * nats, (1 + GAMMA) * nats  # the value of what is done there, and that of being there

    def look(trial: Trial) -> Glance:
        said = told(trial, obs)
        if "value" not in said:
            raise LeftOut("it says no values: explain gives no value")
        value = said["value"].flatten()  # (S,)
        off = torch.minimum((value - action).abs(), (value - state).abs())
        cause = "the entropy is left out of the critics' target, or has the wrong sign or weight there"
        came = f"{float(value[int(off.nan_to_num(torch.inf).argmax())]):.2f}"
        return Glance(bool((off < 0.25).all()), f"a soft value of {action:.2f}", came, cause)

    learned(subject, taught(trial, look))
