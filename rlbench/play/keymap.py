"""Which key does what in an environment: the table of `key_table`, or the environment's own ``get_keys_to_action``."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from ..border.blame import foreign
from ..border.make import EnvMaker
from ..border.spaces import declared
from ..errors import UsageError, first_line
from .key_table import KEYS, Keys, action_names, without_version

_ARRAYS = (gym.spaces.Box, gym.spaces.MultiDiscrete, gym.spaces.MultiBinary)  # spaces whose actions are arrays
_PYGAME_1 = {273: "up", 274: "down", 275: "right", 276: "left"}  # numbers that some environments still give


class KeyMap(NamedTuple):
    """What keys do in an environment; see `key_table.Keys`. Keys are pygame's numbers."""

    press: dict[frozenset[int], Any]
    idle: tuple[Any, ...]
    pace: float
    line: str  # for the person

    @property
    def keys(self) -> frozenset[int]:
        """All keys that do something."""
        return frozenset().union(*self.press)

    def action(self, held: Iterable[int], step: int) -> Any:
        """The action of the keys that are held, the newest last; None where the environment waits for a key."""
        some = [key for key in held if key in self.keys]
        for wanted in (frozenset(some), frozenset(some[-1:])):
            if wanted and wanted in self.press:
                return self.press[wanted]
        return self.idle[step % len(self.idle)] if self.idle else None


def key_map(maker: EnvMaker) -> KeyMap:
    """The keys of an environment: those that rlbench knows, or those of its own ``get_keys_to_action``.

    Raises:
        UsageError: it has neither.
    """
    env = maker()
    try:
        space = declared(env, "action_space", maker.env_id)
        known = KEYS.get(without_version(maker.env_id))
        if known and all(space.contains(_as_action(space, a)) for a in (*known.press.values(), *known.idle)):
            return _known(known, space, maker.env_id)
        given = []
        with foreign(maker.env_id, lambda: "get_keys_to_action()"):
            if env.has_wrapper_attr("get_keys_to_action"):
                given = [env.get_wrapper_attr("get_keys_to_action")()]
        if given:
            return _own(given[0], space, maker.env_id)
    finally:
        env.close()
    raise UsageError(
        f"nobody has said which keys play {maker.env_id}. Give its class a method get_keys_to_action() that returns "
        f"{{(key codes): action}}, as gymnasium.utils.play takes it. rlbench knows keys for {', '.join(KEYS)}."
    )


def _as_action(space: gym.Space[Any], action: Any) -> Any:
    return np.array(action, space.dtype) if isinstance(space, _ARRAYS) else action


def _known(known: Keys, space: gym.Space[Any], env_id: str) -> KeyMap:
    press = {
        frozenset(_code(name) for name in names.split("+")): _as_action(space, action)
        for names, action in known.press.items()
    }
    idle = tuple(_as_action(space, action) for action in known.idle)
    return KeyMap(press, idle, known.pace, _told(press, idle, env_id))


def _own(given: Any, space: gym.Space[Any], env_id: str) -> KeyMap:
    """A key map of the environment's, in the forms that `gymnasium.utils.play` takes."""
    press: dict[frozenset[int], Any] = {}
    idle: tuple[Any, ...] = ()
    try:
        for keys, action in dict(given).items():
            several = keys if isinstance(keys, tuple | list | str) else (keys,)
            codes = frozenset(_code(key) for key in several if key is not None and key != "")
            if not space.contains(_as_action(space, action)):
                raise UsageError(f"the keys of {env_id} do not fit it: {action!r} is no action of {space}.")
            if codes:
                press[codes] = _as_action(space, action)
            else:
                idle = (_as_action(space, action),)
    except (TypeError, ValueError) as e:
        raise UsageError(f"get_keys_to_action of {env_id} gave no key map: {first_line(e)}.") from e
    if not press:
        raise UsageError(f"get_keys_to_action of {env_id} gave no keys.")
    if not idle:  # as gymnasium.utils.play has it
        nothing = np.zeros(space.shape or (), space.dtype) if isinstance(space, _ARRAYS) else 0
        idle = (nothing,) if space.contains(nothing) else ()
    return KeyMap(press, idle, 1.0, _told(press, idle, env_id))


def _code(key: str | int) -> int:
    import pygame

    if isinstance(key, int):
        return _code(_PYGAME_1[key]) if key in _PYGAME_1 else key
    arrows = {"left": pygame.K_LEFT, "right": pygame.K_RIGHT, "up": pygame.K_UP, "down": pygame.K_DOWN}
    return arrows[key] if key in arrows else ord(key)


def _told(press: dict[frozenset[int], Any], idle: tuple[Any, ...], env_id: str) -> str:
    """One line: which key does what."""
    names = action_names(env_id, None)

    def named(action: Any) -> str:
        if np.ndim(action):
            return " ".join(f"{x:g}" for x in np.ravel(action))
        return names[int(action)] if 0 <= int(action) < len(names) else f"action {action}"

    parts = [f"{' + '.join(map(_key_name, sorted(keys)))}: {named(action)}" for keys, action in press.items()]
    if idle:
        parts.append(f"no key: {', '.join(map(named, idle))}{' in turn' if len(idle) > 1 else ''}")
    else:
        parts.append("it waits for you")
    return ", ".join(parts)


def _key_name(code: int) -> str:
    for name in ("left", "right", "up", "down"):
        if code == _code(name):
            return f"{name} arrow"
    return "space" if code == ord(" ") else chr(code).upper() if 32 < code < 127 else f"key {code}"
