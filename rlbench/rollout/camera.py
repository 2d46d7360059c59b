"""Environments that are filmed: every state's picture, the last one of an episode included."""

import math
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from ..border.blame import ForeignError, in_one_line
from ..border.make import EnvMaker
from ..errors import EnvError, UsageError
from .display import advice


class Film(gym.Wrapper):
    """Keeps the picture of the state that the last step led to: `EnvBatch` resets at once where an episode ends.

    Attributes:
        frame: (H, W, 3) uint8.
    """

    frame: np.ndarray

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        self.frame = self._picture()
        return result

    def first(self) -> np.ndarray:
        """The picture after a reset.

        Raises:
            EnvError: the environment raised, or drew something else.
        """
        try:
            self.frame = self._picture()
        except EnvError as e:
            raise EnvError(
                f"{self.spec.id if self.spec else self} cannot draw itself: {in_one_line(e)}.{advice()}"
            ) from e
        return self.frame

    def _picture(self) -> np.ndarray:
        frame: Any = self.env.render()
        if isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3:
            return frame
        what = f"{frame.shape} {frame.dtype}" if isinstance(frame, np.ndarray) else type(frame).__name__
        name = self.spec.id if self.spec else str(self)
        raise ForeignError(name, "render()", f"render() returned {what} where a picture is (H, W, 3) uint8")


class FilmMaker(EnvMaker):
    """Makes copies that are filmed; ``of`` makes them."""

    of: EnvMaker

    def __call__(self, render_mode: str | None = "rgb_array") -> Film:
        return Film(self.of(render_mode))


def filming(maker: EnvMaker) -> FilmMaker:
    """A maker of filmed copies.

    Raises:
        UsageError: the environment makes no pictures.
    """
    modes = _modes(maker)
    if "rgb_array" not in modes:
        has = f"its render modes are: {', '.join(map(str, modes))}" if modes else "it has no render modes"
        raise UsageError(f"{maker.env_id} makes no pictures (rgb_array); {has}.{advice()}")
    films = FilmMaker._make(maker)
    films.of = maker
    return films


def draws(maker: EnvMaker) -> bool:
    """Whether the environment makes pictures."""
    return "rgb_array" in _modes(maker)


def frame_rate(maker: EnvMaker, speed: float) -> float:
    """Pictures a second, ``speed`` times as many as the environment says; infinity for infinity."""
    rate = _metadata(maker).get("render_fps")
    return speed * (float(rate) if isinstance(rate, (int, float)) and 0 < rate < math.inf else 30.0)


def _modes(maker: EnvMaker) -> list[Any]:
    modes = _metadata(maker).get("render_modes")
    return list(modes) if isinstance(modes, (list, tuple, set)) else []


def _metadata(maker: EnvMaker) -> Mapping[str, Any]:
    """What an environment says of its drawing; nothing where it says it in a form of its own."""
    env = maker()
    env.close()
    given: Any = getattr(env, "metadata", None)
    return given if isinstance(given, Mapping) else {}
