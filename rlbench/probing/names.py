"""What agents call their hyper-parameters: those of other names than the project's are told of these, too.

Only what a lesson or a course changes goes by them. A row that asks whether a hyper-parameter is heeded to the step
goes by the project's names alone: under another name it may mean something else.
"""

from collections.abc import Callable, Collection
from typing import Any

from ..agent import AgentConfig

ALSO: dict[str, tuple[str, ...]] = {
    "gamma": ("discount", "discount_factor", "discount_rate"),
    "learning_starts": ("learning_start", "start_steps", "warmup", "warmup_steps", "min_replay", "min_replay_size"),
    "capacity": ("buffer_size", "replay_size", "buffer_capacity", "replay_capacity", "memory_size", "memory_capacity"),
    "batch_size": ("batch", "minibatch_size", "mini_batch_size"),
    "rollout_steps": ("num_steps", "rollout_length", "steps_per_rollout"),
    "train_every": ("train_freq", "train_frequency", "update_every", "train_interval"),
    "target_update_every": (
        "target_update", "target_update_freq", "target_update_frequency", "target_update_interval",
        "target_network_frequency", "target_every", "sync_every",
    ),
    "hidden": ("hidden_size", "hidden_sizes", "hidden_dim", "hidden_dims", "hidden_units"),
    "entropy_weight": ("entropy_coef", "entropy_coefficient", "ent_coef", "entropy_beta"),
    "epsilon_start": (
        "eps_start", "epsilon_initial", "initial_epsilon", "epsilon_init", "eps_init", "start_epsilon", "epsilon",
        "epsilon_max", "max_epsilon", "eps_max",
    ),
    "epsilon_end": (
        "eps_end", "epsilon_final", "final_epsilon", "eps_final", "end_epsilon", "epsilon_min", "min_epsilon",
        "eps_min",
    ),
    "epsilon_steps": (
        "eps_steps", "epsilon_decay_steps", "eps_decay_steps", "decay_steps", "exploration_steps", "anneal_steps",
        "epsilon_anneal_steps", "epsilon_decay", "eps_decay",
    ),
    "epsilon_factor": ("epsilon_decay", "eps_decay", "epsilon_decay_rate", "eps_decay_rate"),
}  # fmt: skip
OF_RECURRENCE = "memory_size"  # of an agent that has a `memory`; of others it is the size of a replay buffer
_OF_ADAM = ("learning_rate", "step_size", "lr")
_COURSE = {"end", "final", "min", "decay", "schedule", "steps", "warmup", "every"}  # of a step size, and not one


def called(config: AgentConfig, name: str, given: Collection[str] = ()) -> str:
    """The field of ``config`` that is meant by a name of the project's; "": there is none, or it is of ``given``."""
    fields, fits = type(config).model_fields, _FITS.get(name, lambda value: True)
    if name in fields and (name != OF_RECURRENCE or "memory" in fields):
        return "" if name in given else name
    others = [other for other in ALSO.get(name, ()) if other in fields and fits(getattr(config, other))]
    found = [other for other in others if other != OF_RECURRENCE or "memory" not in fields]
    return found[0] if found and found[0] not in given else ""


def step_sizes(config: AgentConfig, given: Collection[str] = ()) -> list[str]:
    """The fields that are step sizes, of an actor and of a critic too; a schedule's are not."""
    return [
        name
        for name in type(config).model_fields
        if name not in given
        and (set(name.split("_")) & {"lr"} or any(part in name for part in _OF_ADAM[:2]))
        and not set(name.split("_")) & _COURSE
        and number(getattr(config, name))
    ]


def number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# A value that is meant by another name: an "epsilon" may be PPO's clip or Adam's, and an "epsilon_decay" is a number of
# steps with some, and with others what epsilon is multiplied by.
_FITS: dict[str, Callable[[Any], bool]] = {
    "gamma": number,
    "epsilon_start": lambda value: number(value) and value >= 0.5,
    "epsilon_end": lambda value: number(value) and value < 0.5,
    "epsilon_steps": lambda value: number(value) and value >= 10,
    "epsilon_factor": lambda value: number(value) and 0.5 <= value < 1,
}
