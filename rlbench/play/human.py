"""A person plays, alone or in turns with a trained agent: the loop, and who is at the controls."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..border.make import EnvMaker
from ..numbers import number
from ..rollout.camera import Film, filming, frame_rate
from .keymap import KeyMap
from .mosaic import Mosaic, Tile
from .window import SMALL, Window, open_window

TALL = 720  # pixels; no picture is enlarged beyond

Act = Callable[[Any], Any]  # an observation of the environment -> an action as it takes it


class HumanPlayed(NamedTuple):
    """A finished episode; ``yours`` of its steps were the person's, ``alone`` is the agent's return on the same one."""

    episode: int
    episode_return: float
    episode_length: int
    yours: int
    alone: float | None


def play_human(
    maker: EnvMaker,
    keys: KeyMap,
    seeds: Sequence[int],
    agent: Act | None = None,
    speed: float | None = None,
    on_episode: Callable[[HumanPlayed], Any] = lambda played: None,
) -> list[HumanPlayed]:
    """Play in a window until the last episode has ended or the person closes it.

    Where there is an agent, it plays until a key of the environment is pressed; Tab changes sides at any time.

    Args:
        maker: makes the environment.
        keys: from `keymap.key_map`.
        seeds: to reset it with, one per episode.
        agent: that plays as well; None: the person is alone.
        speed: 1 is the environment's own frame rate; None: as suits a person.
        on_episode: called with each episode when it ends.

    Raises:
        UsageError: there is no display, or the environment makes no pictures.
        EnvError: the environment raised.
    """
    fps = frame_rate(maker, keys.pace if speed is None else speed)
    played: list[HumanPlayed] = []
    with open_window() as window:
        window.quit = window.quit - keys.keys
        env = filming(maker)()
        try:
            for k, seed in enumerate(seeds):
                game = _Game(env, maker, keys, agent, window, f"episode {k + 1} of {len(seeds)}", 1 / fps)
                one = game.play(seed, k, last=k + 1 == len(seeds), on_episode=on_episode)
                if one is None:
                    break
                played.append(one)
                if not game.goes_on:
                    break
        finally:
            env.close()
    return played


class _Game:
    """One episode in the window."""

    def __init__(
        self, env: Film, maker: EnvMaker, keys: KeyMap, agent: Act | None, window: Window, name: str, seconds: float
    ) -> None:
        self.env, self.maker, self.keys, self.agent, self.window = env, maker, keys, agent, window
        self.name, self.seconds = name, seconds
        self.person = agent is None
        self.total, self.step, self.yours = 0.0, 0, 0
        self.goes_on = True

    def play(self, seed: int, k: int, last: bool, on_episode: Callable[[HumanPlayed], Any]) -> HumanPlayed | None:
        """To the end; None where the window was closed before."""
        import pygame

        obs = self.env.reset(seed=seed)[0]
        self.frame = _enlarged(self.env.first())
        self.mosaic = Mosaic([self.frame])
        if k == 0 and not self._wait("Press a key to begin.", (), self.keys.line):
            return None
        over = False
        while not over:
            pressed = self.window.take()
            if self.agent and pygame.K_TAB in pressed:
                self.person = not self.person
            elif self.agent and not self.person and self.keys.keys.intersection(pressed):
                self.person = True
            down = [*self.window.held, *pressed] if self.keys.idle else pressed  # a press is a step where it waits
            action = self.keys.action(down, self.step) if self.person else None
            if self.person and action is None:  # it waits for a key
                if not self._show(0.03):
                    return None
                continue
            if not self.person:
                assert self.agent is not None
                action = self.agent(obs)
            obs, over = self._step(action)
            if not self._show(self.seconds if self.keys.idle or not self.person else 0.03):
                return None
        alone = self._alone(seed) if self.agent and self.yours else None
        played = HumanPlayed(k + 1, self.total, self.step, self.yours, alone)
        on_episode(played)
        words = f"over: return {number(self.total)}" + ("" if alone is None else f", the agent alone: {number(alone)}")
        self.goes_on = self._wait(
            f"{words}. Space: {'close' if last else 'the next one'}.", (pygame.K_SPACE, pygame.K_RETURN)
        )
        return played

    def _step(self, action: Any) -> tuple[Any, bool]:
        """The next observation, and whether the episode is over."""
        obs, reward, terminated, truncated, _ = self.env.step(action)
        self.frame, self.total, self.step = _enlarged(self.env.frame), self.total + float(reward), self.step + 1
        self.yours += self.person
        return obs, bool(terminated or truncated or self.step == self.maker.limit)

    def _alone(self, seed: int) -> float:
        """What the agent gets on the same episode when nobody interferes."""
        assert self.agent is not None
        env, total, steps = self.maker(), 0.0, 0
        try:
            obs, _ = env.reset(seed=seed)
            while True:
                obs, reward, terminated, truncated, _ = env.step(self.agent(obs))
                total, steps = total + float(reward), steps + 1
                if terminated or truncated or steps == self.maker.limit:
                    return total
        finally:
            env.close()

    def _wait(self, words: str, keys: Sequence[int], name: str = "") -> bool:
        """Until one of these keys is pressed, or of none any; False where the window was closed."""
        self.window.take()
        while True:
            pressed = self.window.take()
            if pressed and (not keys or set(keys).intersection(pressed)):
                return True
            if not self._show(0.03, words, name):
                return False

    def _show(self, seconds: float, words: str = "", name: str = "") -> bool:
        hint = "" if self.agent is None else f"   Tab: {'the agent' if self.person else 'you'}"
        caption = f"{self.maker.env_id}, {self.name}: {'you' if self.person else 'the agent'}"
        line = words or f"return {number(self.total)}   step {self.step}{hint}"
        tile = Tile(self.frame, name or caption, line, bool(words) or self.person)
        return self.window.show(self.mosaic.draw([tile]), caption, seconds)


def _enlarged(frame: np.ndarray) -> np.ndarray:
    """A small picture twice, three times, ... as large, so that there is room for words above it."""
    factor = max(1, min(math.ceil(SMALL / frame.shape[1]), TALL // frame.shape[0]))
    return frame if factor == 1 else frame.repeat(factor, 0).repeat(factor, 1)
