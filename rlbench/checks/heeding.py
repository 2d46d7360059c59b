"""A row about hyper-parameters: each of a known name makes a difference, somewhere.

One that is read nowhere, or read and not handed on, raises no error and lowers no value that is asked for: who sets it
finds that it does not help. So each is given two values that cannot lead to the same, and what comes is to differ.
"""

import contextlib
from typing import Any, get_args

from pydantic import ValidationError

from ..agent import AgentConfig
from ..agent_state import same, snapshot
from ..probing.answers import Fails, LeftOut
from ..probing.names import called
from ..probing.rows import row
from ..probing.shorter import changed, shortened
from ..probing.subject import Subject

STEPS = 60  # of each env

#: Two values each, of which no agent that has the hyper-parameter makes the same, as of a Huber loss and a squared one
#: it may where errors are small. One step of learning is enough for most to differ in a bit; clipping, which many
#: gradients pass by, gets a limit that none passes by. While others are asked about, each has its first one.
VALUES: dict[str, tuple[Any, Any]] = {
    "gamma": (0.9, 0.5), "n_step": (1, 3), "double": (False, True), "gae_lambda": (0.9, 0.3), "q_lambda": (0.9, 0.3),
    "learning_rate": (1e-2, 1e-3), "critic_learning_rate": (1e-2, 1e-3), "alpha_learning_rate": (1e-2, 1e-3),
    "adam_epsilon": (1e-8, 1e-2), "max_grad_norm": (1e-1, 1e-3), "tau": (0.1, 0.5), "target_update_every": (1, 3),
    "train_every": (1, 2), "updates_per_train": (1, 2), "learning_starts": (10, 30), "batch_size": (8, 4),
    "capacity": (240, 60), "rollout_steps": (8, 4), "epochs": (3, 1), "clip": (0.3, 1e-4), "value_clip": (1.0, 1e-4),
    "value_weight": (1.0, 0.1), "entropy_weight": (0.0, 0.1), "normalise_advantage": (False, True),
    "normalise_obs": (False, True), "normalise_rewards": (False, True), "log_std": (0.0, -1.0), "alpha": (0.1, 1.0),
    "learn_alpha": (True, False), "target_entropy": (0.3, 0.6), "noise_correlation": (0.0, 0.5),
    "epsilon_start": (1.0, 0.4), "epsilon_end": (0.0, 0.6), "epsilon_steps": (30, 50), "initial_value": (0.0, 1.0),
    "memory_size": (9, 5), "sequence_length": (4, 2), "burn_in": (0, 2), "baseline": (True, False),
    "layer_norm": (False, True), "orthogonal": (False, True), "activation": (None, None),
}  # fmt: skip
#: As `VALUES`, of those that stand in others' way where they have a value.
OFF: dict[str, tuple[Any, Any]] = {
    "learning_rate_end": (1e-6, 1e-3),
    "clip_end": (1e-5, 0.1),
    "epsilon_decay": (0.5, 0.9),
}
#: Only with memory; and inherited by who derives from another agent and makes networks of its own.
_OF_MEMORY = ("memory_size", "sequence_length", "burn_in")
_OF_NETWORKS = ("layer_norm", "orthogonal", "activation", "memory_size")


@row(
    "heeded",
    "every hyper-parameter of a known name changes what it learns or does",
    group="learning",
    limit=60.0,
    quick=False,
)
def heeded(subject: Subject) -> None:
    fields = type(subject.config).model_fields
    known = [name for name in fields if name in VALUES or name in OFF]
    if not known:
        raise LeftOut("it has no hyper-parameters of known names")
    base = _base(subject.config)
    places = subject.places()
    usual = [(place, base) for place in places]
    remembering = [(places[0], {**base, "memory": subject.fit.memory})] if subject.fit.memory else usual
    lives: dict[str, dict[str, Any] | None] = {}

    def lived(place: str, changes: dict[str, Any]) -> dict[str, Any] | None:
        """As `_lived`, once."""
        key = f"{place} {sorted(changes.items())}"
        if key not in lives:
            lives[key] = _lived(subject, place, changes)
        return lives[key]

    learned = False
    for name in [name for name in known if not _of_another(subject, name)]:
        for place, others in remembering if name in _OF_MEMORY else usual:
            found = [lived(place, {**others, name: value}) for value in _pair(subject.config, name)]
            if None in found:
                continue
            learned |= any(one["updates"] for one in found if one)
            if not same(*found):
                break
        else:
            if not learned:
                raise LeftOut(f"it did not learn, {subject.whereabouts()}")
            one, other = _pair(subject.config, name)
            raise Fails(
                f"Expected {name} to make a difference, came the same to the last bit with {one} and with {other}, "
                f"{subject.whereabouts()}.",
                f"{name} is read nowhere, or not handed on to what it is for; if that is meant: --without heeded",
            )


def _base(config: AgentConfig) -> dict[str, Any]:
    """Hyper-parameters such that none stands in another's way, whatever the user chose; as far as it takes them."""
    short = shortened(config, ())
    clear = {name: type(config).model_fields[name].default for name in OFF if hasattr(config, name)}
    first = {name: _pair(config, name)[0] for name in VALUES if hasattr(config, name)}
    for base in ({**short, **clear, **first}, {**short, **clear}):
        with contextlib.suppress(ValidationError):
            changed(config, base)
            return base
    return short


def _pair(config: AgentConfig, name: str) -> tuple[Any, Any]:
    pair = VALUES.get(name) or OFF[name]
    if pair[0] is not None:
        return pair
    one, other, *_ = [*get_args(type(config).model_fields[name].annotation), None, None]
    return one, other


def _of_another(subject: Subject, name: str) -> bool:
    """Whether it is of a memory that it has not; or of networks, and inherited by one that makes its own."""
    own = getattr(subject.cls, "origin", subject.cls)
    if name in _OF_MEMORY and not called(subject.config, name):
        return True
    return name in _OF_NETWORKS and any(
        name in getattr(getattr(base, "Config", None), "model_fields", ()) and base.__module__ != own.__module__
        for base in own.__mro__[1:]
    )


def _lived(subject: Subject, place: str, changes: dict[str, Any]) -> dict[str, Any] | None:
    """What it holds after a while; None: it does not take these hyper-parameters, or not there."""
    try:
        trial = subject.trial(place, config=changed(subject.config, changes), total_steps=2 * STEPS)
    except (ValidationError, LeftOut):
        return None
    done = [step.transition.action for step in trial.go(STEPS)]
    held = trial.held()
    return {"agent": held["agent"], "replay": held["replay"], "actions": snapshot(done), "updates": trial.updates}
