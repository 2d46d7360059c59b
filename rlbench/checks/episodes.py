"""Rows about episodes: what is forbidden is not done, and one episode is forgotten when the next begins."""

import torch
from torch import Tensor

from ..agent import AgentConfig
from ..probing.answers import Fails, LeftOut
from ..probing.rows import row
from ..probing.states import difference
from ..probing.subject import Subject
from ..probing.trial import Trial

GROUP = "episodes"
MASK = "action_mask"


@row("mask", "an action that a mask forbids is never taken", group=GROUP)
def mask(subject: Subject) -> None:
    for place in subject.fitting("masked", "masked-indices"):
        for config in [config for where, config in subject.variants() if where == subject.places()[0]]:
            trial = subject.trial(place, config=config)
            if MASK not in trial.spec.extras:
                raise LeftOut(f"it does not want {MASK}, which environments may say")
            for step in trial.go(70):
                _check_legal(subject, step.transition.action, step.transition.extras[MASK], "exploring")
            for salt in range(12):
                obs, numbers = trial.look(8, salt), torch.Generator().manual_seed(salt)
                legal = torch.rand(2, 8, 3, generator=numbers) < (0.0 if salt % 2 else 0.6)
                legal.scatter_(-1, torch.randint(3, (2, 8, 1), generator=numbers), True)
                for explore in (False, True) if salt < 2 else (False,):
                    seen = obs[:, :2] if explore else obs
                    told = {MASK: legal[:, :2] if explore else legal}
                    action = trial.act(seen, told, explore=explore)
                    _check_legal(subject, action, told[MASK], f"act(explore={explore})")


def _check_legal(subject: Subject, action: Tensor, legal: Tensor, how: str) -> None:
    wrong = ~legal.gather(-1, action.unsqueeze(-1)).squeeze(-1)
    if wrong.any():
        s, e = wrong.nonzero()[0].tolist()
        raise Fails(
            f"Expected one of the actions {legal[s, e].nonzero().flatten().tolist()}, came {int(action[s, e])}, {how}, "
            f"{subject.whereabouts()}.",
            "the mask is not heeded where actions are drawn at random, or where the best one is chosen",
        )


@row("episodes-apart", "what it does in an episode does not depend on the one before", group=GROUP)
def episodes_apart(subject: Subject) -> None:
    for place, config in subject.variants():
        trial = subject.trial(place, config=config)
        trial.go(25)
        if not trial.held()["agent"]:
            raise LeftOut("it has no state, and so nothing that it could remember")
        first = _played(trial, 0)
        _played(trial, 50)
        if found := difference(first, _played(trial, 0)):
            raise Fails(
                f"Expected the same episode to be played the same way after another one, {found}, "
                f"{subject.whereabouts()}.",
                "what is remembered is not forgotten in begin(started, explore=False)",
            )
        _some_begin(subject, trial)
        _exploring(subject, place, config)


def _played(trial: Trial, salt: int) -> dict[str, Tensor]:
    """What it does, and says, in a made-up episode without exploring; of two envs."""
    found: dict[str, Tensor] = {}
    for t in range(5):
        obs = trial.look(2, salt + t)
        if t == 0:
            trial.agent.begin(torch.ones(obs.shape[:2], dtype=torch.bool), explore=False)
        found |= {f"step {t}, {name}": x.clone() for name, x in trial.explain(obs).items()}
        found[f"step {t}, action"] = trial.act(obs, begin=False)
    return found


def _some_begin(subject: Subject, trial: Trial) -> None:
    """Where one env begins, the other's memory stays."""
    found = []
    for begins in (False, True):
        _played(trial, 0)
        if begins:
            trial.agent.begin(torch.tensor([[True, False]] * 2), explore=False)
        obs = trial.look(2, 9)
        said = {name: x[:, 1].clone() for name, x in trial.explain(obs).items()}
        found.append({**said, "action": trial.act(obs, begin=False)[:, 1]})
    if differs := difference(*found):
        raise Fails(
            f"Expected env 1 to go on where an episode begins in env 0 alone, {differs}, {subject.whereabouts()}.",
            "begin forgets what is remembered of all envs, and not only where started is True",
        )


def _exploring(subject: Subject, place: str, config: AgentConfig) -> None:
    """Two that know the same and draw the same numbers, after episodes that differed."""
    trials = [subject.trial(place, config=config) for _ in range(2)]
    for n, trial in enumerate(trials):
        trial.go(25)
        for t in range(5):
            trial.act(trial.look(2, 50 * n + t), explore=True, begin=t == 0)
    ours, theirs = (trial.held() for trial in trials)
    if difference(ours["streams"], theirs["streams"]):
        return  # they did not draw as many
    for t in range(5):
        one, other = (trial.act(trial.look(2, t), explore=True, begin=t == 0) for trial in trials)
        if not torch.equal(one, other):
            raise Fails(
                f"Expected the same actions in an episode after two different ones, came others at its step {t + 1}, "
                f"exploring, {subject.whereabouts()}.",
                "what is remembered is not forgotten in begin(started, explore=True)",
            )
