"""Rows about policies: what is known of their chances where entropy is worth something, and across episodes' ends."""

import math
from typing import Any

import torch

from ..probing.answers import LeftOut
from ..probing.rows import row
from ..probing.subject import Subject
from ..probing.trial import Trial
from . import probes
from .asking import form_of
from .known import Walk, picture
from .lesson import Glance, in_time, learned, lesson, shown, taught, told
from .riddles import Carried

GROUP, LIMIT = "values", 60.0
_WEIGHTS = "alpha and learn_alpha, or entropy_weight"


@row("entropy", "where a nat of entropy is worth 1, chances are as exp(reward)", group=GROUP, limit=LIMIT, quick=False)
def entropy(subject: Subject) -> None:
    """At the second step action 1 pays 1 and action 0 nothing: its chance is e / (1 + e) = 0.73, and the soft value
    there is log(1 + e) = 1.31, or 0.8 of that a step before."""
    if not (subject.has("alpha", "learn_alpha") or subject.has("entropy_weight")):
        raise LeftOut(f"it has no hyper-parameter for the worth of entropy: {_WEIGHTS}")
    in_time(subject)
    form = form_of(subject)
    trial = lesson(
        subject, Walk, {"known": probes.CHOSEN, "form": form},
        alpha=1.0, learn_alpha=False, entropy_weight=1.0, normalise_advantage=False,
    )  # fmt: skip
    obs = shown([picture(look, 2, form) for look in (0, 1)], trial.spec)
    soft = math.log1p(math.e)
    chance, value = math.e / (1 + math.e), 0.8 * soft

    def look(trial: Trial) -> Glance:
        said = told(trial, obs)
        if "probabilities" not in said:
            raise LeftOut("it does not say the chances of its actions: explain gives no probabilities")
        came = said["probabilities"][:, 1, 1]  # (S,)
        worst = int((came - chance).abs().nan_to_num(torch.inf).argmax())
        if not bool(((came - chance).abs() < 0.1).all()):
            cause = "the entropy has the wrong sign or weight in the policy's loss"
            return Glance(False, f"a chance of {chance:.2f}", f"{float(came[worst]):.2f}", cause)
        if "q_values" not in said:
            return Glance(True)
        before = said["q_values"][:, 0]  # (S, 2)
        worst = int((before - value).abs().amax(1).nan_to_num(torch.inf).argmax())
        cause = "the entropy has the wrong sign or weight in the target of the values"
        average = float(before[worst].mean())
        return Glance(
            bool(((before - value).abs() < 0.3).all()), f"a soft value of {value:.2f}", f"{average:.2f}", cause
        )

    learned(subject, taught(trial, look))


@row(
    "choice-temperature",
    "with choices, too, the temperature moves until the entropy is wanted",
    group=GROUP,
    limit=LIMIT,
    quick=False,
)
def choice_temperature(subject: Subject) -> None:
    """Of two actions, a share of 0.5 of the most entropy is 0.35 nats: chances of 0.89 and 0.11."""
    if not subject.has("target_entropy", "learn_alpha"):
        raise LeftOut("it has no hyper-parameters target_entropy and learn_alpha")
    form = form_of(subject)
    trial = lesson(subject, Walk, {"known": probes.CHOSEN, "form": form}, target_entropy=0.5)
    obs = shown([picture(look, 2, form) for look in (0, 1)], trial.spec)

    def look(trial: Trial) -> Glance:
        said = told(trial, obs)
        if "probabilities" not in said:
            raise LeftOut("it does not say the chances of its actions: explain gives no probabilities")
        chances = said["probabilities"]
        nats = -(chances * chances.clamp(min=1e-12).log()).sum(-1).mean(1)  # (S,)
        wanted = 0.5 * math.log(2)
        worst = int((nats - wanted).abs().nan_to_num(torch.inf).argmax())
        cause = "the temperature's gradient has the wrong sign"
        right = bool(((nats - wanted).abs() < 0.12).all())
        return Glance(right, f"an entropy of {wanted:.2f} nats", f"{float(nats[worst]):.2f}", cause)

    learned(subject, taught(trial, look, least=900))


@row(
    "masked-chances",
    "where a mask leaves no choice, the policy learns nothing of what was done",
    group=GROUP,
    limit=LIMIT,
    quick=False,
)
def masked_chances(subject: Subject) -> None:
    if "action_mask" not in subject.cls.wants:
        raise LeftOut("it makes no use of masks")
    form = form_of(subject)
    trial = lesson(subject, Walk, {"known": probes.FORCED, "form": form}, entropy_weight=0.02)
    obs = shown([picture(0, 1, form)], trial.spec)

    def look(trial: Trial) -> Glance:
        said = told(trial, obs)
        if "probabilities" not in said or "q_values" in said:  # values are means of both states, which look the same
            raise LeftOut("it does not choose by probabilities alone: explain gives none, or values of actions too")
        came = said["probabilities"][:, 0, 1]  # (S,)
        cause = "chances are learned from without the mask that they were drawn with, or the mask of another step"
        expected = "a chance above 0.60 of the action that pays more where there is a choice"
        return Glance(bool((came > 0.6).all()), expected, f"{float(came.nan_to_num(-torch.inf).min()):.2f}", cause)

    learned(subject, taught(trial, look))


@row(
    "episode-ends",
    "what the next episode pays is not taken for what this one's actions paid",
    group=GROUP,
    limit=LIMIT,
    quick=False,
)
def episode_ends(subject: Subject) -> None:
    numbered = form_of(subject) == "index"
    steady: dict[str, Any] = {
        "alpha": 1.0,
        "learn_alpha": False,
        "n_step": 3,
    }  # who learns from steps of long ago is to act as then
    for cut in (False, True):
        trial = lesson(subject, Carried, {"cut": cut, "numbered": numbered}, **steady)
        obs = shown([picture(0, 1, "index" if numbered else "vector")], trial.spec)
        ends = "cut by a time limit" if cut else "terminated"
        likes: list[torch.Tensor] = []

        def look(trial: Trial, obs: torch.Tensor = obs, ends: str = ends, likes: list[torch.Tensor] = likes) -> Glance:
            said = told(trial, obs)
            if "q_values" in said:
                likes.append(0.5 + (said["q_values"][..., 0] - said["q_values"][..., 1]).mean())
            elif "probabilities" in said:
                likes.append(said["probabilities"][..., 0].mean())
            else:  # what it does best is one action or the other, and by chance where values move as these do
                raise LeftOut("it says no values of actions, nor probabilities: explain gives none")
            recent = float(torch.stack(likes[-12:]).mean())
            cause = f"rewards, advantages or windows of steps reach beyond the end of an episode that is {ends}"
            expected = "action 0 to be preferred, which pays 0.4 more in its own episode"
            came = f"a preference of {recent - 0.5:+.2f} for it" if math.isfinite(recent) else "no number"
            return Glance(len(likes) >= 8 and recent > 0.6, expected, came, cause)

        try:
            found = taught(trial, look, most=4_500, needs="of episodes that a limit cuts after 1 step")
        except LeftOut:
            if not cut:
                raise
            return
        learned(subject, found)
