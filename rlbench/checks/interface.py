"""Rows about what an agent gives back: actions, metrics, what it explains."""

import json
import math

import torch
from torch import Tensor

from ..errors import first_line
from ..probing.answers import Fails, LeftOut
from ..probing.rows import row
from ..probing.subject import Subject
from ..probing.trial import Trial

GROUP = "interface"


@row("actions", "actions have the shape, the dtype and the range of the space, for any number of envs", group=GROUP)
def actions(subject: Subject) -> None:
    for place in subject.places():
        trial = subject.trial(place, num_envs=3)
        for explore in (True, False):
            for envs in (3,) if explore else (1, 3, 10):
                for salt in range(8):
                    obs = trial.look(envs, salt)
                    _check_action(trial, trial.act(obs, explore=explore), envs, explore, subject.described(place))
        trial.go(25)


def _check_action(trial: Trial, action: object, envs: int, explore: bool, place: str) -> None:
    spec, how = trial.spec, f"act(explore={explore}) with {envs} envs on {place}"
    shape = (spec.num_seeds, envs, *spec.action_shape)
    if not isinstance(action, Tensor) or tuple(action.shape) != shape:
        came = f"shape {tuple(action.shape)}" if isinstance(action, Tensor) else f"a {type(action).__name__}"
        raise Fails(
            f"Expected a tensor of shape {shape}, (S, E, ...), came {came}, of {how}.",
            "an axis is left out or added; or it cannot act here, which it is to say in __init__: raise UsageError",
        )
    if action.dtype != spec.action_dtype:
        raise Fails(
            f"Expected {spec.action_dtype}, came {action.dtype}, of {how}.",
            "the action is not converted: action.long(), or .float()",
        )
    sizes = spec.action_sizes or (spec.num_actions,)
    if spec.action_low is not None and spec.action_high is not None:
        low, high = spec.action_low, spec.action_high
        expected = f"numbers from {low.tolist()} to {high.tolist()}"
        fits = bool(((action >= low) & (action <= high)).all())
    else:
        low, high = torch.zeros(()), torch.tensor(sizes) - 1
        expected = f"integers from 0 to {high.tolist()}"
        fits = bool(((action >= low) & (action <= high)).all())
    if not fits:
        raise Fails(
            f"Expected {expected}, came {action.flatten()[:6].tolist()}, ... of {how}.",
            "actions are not kept in bounds",
        )


@row("metrics", "update gives {}, or named numbers, one for each seed", group=GROUP)
def metrics(subject: Subject) -> None:
    for place in subject.places():
        trial = subject.trial(place, seeds=(0, 1, 2))
        for step in trial.learn(3):
            given = step.metrics
            if not isinstance(given, dict):
                raise Fails(
                    f"Expected a dict, came a {type(given).__name__} of update, {subject.whereabouts()}.",
                    "nothing is returned where nothing was due: return {}",
                )
            for name, x in given.items():
                shape = tuple(x.shape) if isinstance(x, Tensor) else f"a {type(x).__name__}"
                if shape != (3,):
                    raise Fails(
                        f"Expected shape (3,), one number for each seed, came {shape} of {name!r}, "
                        f"{subject.whereabouts()}.",
                        "a mean is taken over the seeds, or over too few axes",
                    )
                if x.requires_grad:
                    raise Fails(
                        f"Expected a tensor without gradient, came {name!r} with one, {subject.whereabouts()}.",
                        "the metric is not detached",
                    )


SHOWN = ("q_values", "value", "probabilities", "mean", "std")


@row("explain", "what it explains has the form that players draw", group=GROUP)
def explain(subject: Subject) -> None:
    seen = False
    for place in subject.places():
        trial = subject.trial(place, num_envs=3)
        trial.go(12)
        for envs in (1, 3):
            obs = trial.look(envs)
            trial.act(obs)
            found = trial.explain(obs)
            if not isinstance(found, dict):
                raise Fails(
                    f"Expected a dict, came a {type(found).__name__} of explain, {subject.whereabouts()}.",
                    "explain returns something else",
                )
            for name, x in found.items():
                seen = True
                _check_shown(subject, trial, name, x, envs)
    if not seen:
        raise LeftOut("it explains nothing")


def _check_shown(subject: Subject, trial: Trial, name: str, x: object, envs: int) -> None:
    spec, where = trial.spec, subject.whereabouts()
    if name not in SHOWN:
        raise Fails(
            f"Expected any of {', '.join(SHOWN)}, came {name!r}, {where}.",
            "the name is misspelt, or belongs in diagnostics",
        )
    lead = (spec.num_seeds, envs)
    wide = {"value": (), "mean": (math.prod(spec.action_shape),), "std": (math.prod(spec.action_shape),)}
    due = wide.get(name, None if spec.num_actions is None else (spec.num_actions,))
    shape = tuple(x.shape) if isinstance(x, Tensor) else None
    if not isinstance(x, Tensor) or shape is None or shape[:2] != lead or (due is not None and shape[2:] != due):
        expected = (*lead, *(due if due is not None else ("A",)))
        raise Fails(
            f"Expected a tensor of shape {expected} as {name}, came {shape or type(x).__name__}, {where}.",
            "an axis is left out or added",
        )
    if bool(x.isnan().any()):
        raise Fails(f"Expected numbers as {name}, came NaN, {where}.", "a division by zero, or a logarithm of 0")
    if name == "probabilities" and not (bool((x >= 0).all()) and bool((x.sum(-1) - 1).abs().max() < 1e-3)):
        raise Fails(
            f"Expected probabilities that sum to 1, came {x[0, 0].tolist()}, {where}.",
            "logits are given for probabilities",
        )
    if name == "std" and bool((x < 0).any()):
        raise Fails(
            f"Expected a std of 0 or more, came {float(x.min()):.3g}, {where}.",
            "the logarithm of the deviation is given",
        )


@row("diagnostics", "what it says of learning is numbers for each seed, or larger tensors of them", group=GROUP)
def diagnostics(subject: Subject) -> None:
    seen = False
    for place in subject.places():
        trial = subject.trial(place, seeds=(0, 1, 2))
        for steps in (0, 30):
            trial.go(steps)
            found = trial.agent.diagnostics()
            if not isinstance(found, dict):
                raise Fails(f"Expected a dict, came a {type(found).__name__}, {subject.whereabouts()}.", "return {}")
            for name, x in found.items():
                seen = True
                if not isinstance(x, Tensor) or x.dim() == 0 or len(x) != 3:
                    came = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
                    raise Fails(
                        f"Expected a tensor whose first axis has length 3, of the seeds, as {name!r}, came {came}, "
                        f"{subject.whereabouts()}.",
                        "a number is given for all seeds together: torch.full((S,), x)",
                    )
    if not seen:
        raise LeftOut("it says nothing")


@row("config", "hyper-parameters go into a recipe and come back, and cannot be changed or misspelt", group=GROUP)
def config(subject: Subject) -> None:
    kind, now = type(subject.config), subject.config
    try:
        text = json.dumps(now.model_dump(mode="json"))
        again = kind(**json.loads(text))
    except (TypeError, ValueError) as e:
        raise Fails(
            f"Expected {kind.__name__} to be written and read again, came: {first_line(e)}.",
            "a hyper-parameter is no number, text, boolean, or list of these",
        ) from e
    if again != now:
        odd = next(name for name in kind.model_fields if getattr(again, name) != getattr(now, name))
        raise Fails(
            f"Expected {odd} = {getattr(now, odd)!r} to be read again, came {getattr(again, odd)!r}.",
            "it is written in a form that is read as something else, or changed by a validator",
        )
    if kind.model_config.get("extra") != "forbid" or not kind.model_config.get("frozen"):
        raise Fails(
            f"Expected {kind.__name__} to be frozen and to refuse unknown keys, came the settings "
            f"{dict(kind.model_config)}.",
            "model_config of AgentConfig is overridden",
        )
