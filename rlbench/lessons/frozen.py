"""A row about target networks: where one stands still, what hangs on it does, and nothing else.

Values of what follows come from the target network alone: while it stands still, they pass one step back and no
further. What is done, and what a policy is led by, comes from the network that learns: that goes on.
"""

import torch

from ..probing.answers import LeftOut
from ..probing.courses import COURSES
from ..probing.rows import row
from ..probing.states import pair_of
from ..probing.subject import Subject
from ..probing.trial import Trial
from . import probes
from .asking import form_of, remembers
from .known import Form, Walk, picture
from .lesson import GAMMA, Glance, learned, lesson, shown, taught, told
from .riddles import PLACES, Aimed, best

_STILL = {"tau": 1e-12, "target_update_every": 10**9, "n_step": 1, "alpha": 0.01, "learn_alpha": False}
_SLOWLY = "it learns slowly"
_CLEAR = 0.3  # how far the value of the first network and that of the task are apart, to be told apart


@row(
    "frozen-target",
    "where its target network stands still, values pass one step on, and what it does is learned",
    group="learning",
    limit=60.0,
    quick=False,
)
def frozen_target(subject: Subject) -> None:
    if not {"tau", "target_update_every"} & type(subject.config).model_fields.keys():
        raise LeftOut("it has no hyper-parameters tau and target_update_every")
    if pair_of(subject.trial().agent.state_dict()) is None:
        raise LeftOut("state_dict names no target network with another one of the same shapes beside it")
    fits = [course for course in COURSES if subject.fit.why.get(course) == ""]
    if {"vector", "indices", "pixels"} & set(fits):
        form = form_of(subject)
        _acts(subject, form)
        _stays(subject, form)
    if "continuous" in fits:
        _aims(subject)


_CAUSE = "it acts by the target network, or its policy is led by that: this is for what follows alone"


def _acts(subject: Subject, form: Form) -> None:
    trial = lesson(subject, Walk, {"known": probes.BOTH, "form": form}, asked=_STILL)
    obs = shown([picture(look, 2, form) for look in (0, 1)], trial.spec)

    def look(trial: Trial) -> Glance:
        done = trial.act(obs)  # (S, 2)
        wrong = (done != torch.tensor([0, 1])).sum(1)
        came = str(done[int(wrong.argmax())].tolist())
        return Glance(not wrong.any(), "the actions [0, 1], though the target network stands still", came, _CAUSE)

    learned(subject, taught(trial, look))


def _aims(subject: Subject) -> None:
    trial = lesson(subject, Aimed, {}, asked=_STILL)
    obs = shown([torch.tensor([x]).numpy() for x in PLACES], trial.spec)
    right = torch.stack([torch.from_numpy(best(x)) for x in PLACES])[:, 1]  # the second number

    def look(trial: Trial) -> Glance:
        done = trial.act(obs)[..., 1]  # (S, N)
        off = (done - right).abs().amax(1)  # (S,)
        came, expected = ([round(a, 2) for a in x.tolist()] for x in (done[int(off.argmax())], right))
        said = f"the second number of actions to be {expected}, though the target network stands still"
        return Glance(bool((off < 0.5).all()), said, str(came), _CAUSE)

    learned(subject, taught(trial, look))


def _stays(subject: Subject, form: Form) -> None:
    trial = lesson(subject, Walk, {"known": probes.DELAYED, "form": form}, asked=_STILL)
    obs = shown([picture(look, 3, form) for look in (0, 1, 2)], trial.spec)
    said = told(trial, obs)
    if "q_values" not in said or remembers(trial, obs):  # what it says of a later state it says of one to remember
        return
    first = said["q_values"][:, 2]  # (S, A), of the last state, by either network
    low, high = (GAMMA * bound for bound in (first.amin(1), first.amax(1)))  # (S,), of the state before
    clear = high < GAMMA - _CLEAR

    def look(trial: Trial) -> Glance:
        q = told(trial, obs)["q_values"]
        before, last = q[:, 1].mean(1), q[:, 2].mean(1)  # (S,); both actions lead to the same
        if bool(((last - 1).abs() > 0.15).any()):
            return Glance(False, "a value of 1.00 of the last state", f"{float(last.min()):.2f}", _SLOWLY)
        beyond = torch.maximum(before - high, low - before).where(clear, 0.0)
        s = int(beyond.argmax())
        expected = f"{GAMMA:g} of what the target network said at first, {float(high[s]):.2f} at most, while it stands "
        return Glance(
            bool((beyond < 0.15).all()),
            f"the state before the last one to be worth {expected}still",
            f"{float(before[s]):.2f}",
            "values of what follows come from the network that learns: with two networks, as in Double DQN, the other "
            "one may choose an action, and the target network is to say what it is worth",
        )

    found = taught(trial, look)
    if found.cause == _SLOWLY:
        raise LeftOut("it did not learn enough of the last step to be asked about the one before")
    learned(subject, found)
