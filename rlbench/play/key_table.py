"""What the actions of well-known environments are called, and which keys a person plays them with. Data alone."""

from typing import NamedTuple


class Keys(NamedTuple):
    """How a person plays an environment.

    ``press`` maps keys, held together and joined by "+", to an action as the environment takes it. ``idle`` is done
    while no key is held, in turn; where it is empty the environment waits for a key. ``pace`` is the speed that suits a
    person, as a share of the environment's own frame rate.
    """

    press: dict[str, int | tuple[float, ...]]
    idle: tuple[int | tuple[float, ...], ...] = ()
    pace: float = 1.0


#: By the environment's name without its version: what each of its actions is called.
ACTIONS: dict[str, tuple[str, ...]] = {
    "CartPole": ("left", "right"),
    "MountainCar": ("left", "coast", "right"),
    "Acrobot": ("torque −1", "torque 0", "torque +1"),
    "LunarLander": ("nothing", "left engine", "main engine", "right engine"),
    "FrozenLake": ("left", "down", "right", "up"),
    "FrozenLake8x8": ("left", "down", "right", "up"),
    "CliffWalking": ("up", "right", "down", "left"),
    "CliffWalkingSlippery": ("up", "right", "down", "left"),
    "Taxi": ("south", "north", "east", "west", "pick up", "drop off"),
    "Blackjack": ("stick", "hit"),
    "rlbench/Catch": ("left", "stay", "right"),
    "rlbench/TMaze": ("north", "east", "south", "west"),
}

_LAKE = Keys({"left": 0, "down": 1, "right": 2, "up": 3})
_CLIFF = Keys({"up": 0, "right": 1, "down": 2, "left": 3})

#: By the same name.
KEYS: dict[str, Keys] = {
    "CartPole": Keys({"left": 0, "right": 1}, (0, 1), 0.5),  # there is no "do nothing": both in turn nearly is
    "MountainCar": Keys({"left": 0, "right": 2}, (1,)),
    "MountainCarContinuous": Keys({"left": (-1.0,), "right": (1.0,)}, ((0.0,),)),
    "Pendulum": Keys({"left": (2.0,), "right": (-2.0,)}, ((0.0,),)),
    "Acrobot": Keys({"left": 0, "right": 2}, (1,)),
    "LunarLander": Keys({"left": 1, "up": 2, "right": 3}, (0,), 0.7),  # the arrow says where the lander goes
    "FrozenLake": _LAKE,
    "FrozenLake8x8": _LAKE,
    "CliffWalking": _CLIFF,
    "CliffWalkingSlippery": _CLIFF,
    "Taxi": Keys({"down": 0, "up": 1, "right": 2, "left": 3, "p": 4, "d": 5}),
    "Blackjack": Keys({"s": 0, "h": 1}),
    "rlbench/Catch": Keys({"left": 0, "right": 2}, (1,), 0.4),
    "rlbench/TMaze": Keys({"up": 0, "right": 1, "down": 2, "left": 3}),
}


def without_version(env_id: str) -> str:
    """CartPole-v1 -> CartPole."""
    name, dash, version = env_id.rpartition("-v")
    return name if dash and version.isdecimal() else env_id


def action_names(env_id: str, count: int | None) -> tuple[str, ...]:
    """What the environment's ``count`` actions are called; () where that is not known, or there are not as many.

    ``count`` None: however many there are.
    """
    names = ACTIONS.get(without_version(env_id), ())
    return names if count in (None, len(names)) else ()
