"""A person at the keyboard: keys become the actions they say, and the agent and the person take turns as told."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pygame
import pytest
from command import mistake, rlbench
from conftest import registering
from test_play import Drawn, without_display

from rlbench.border.make import EnvMaker, env_maker
from rlbench.errors import EnvError, UsageError
from rlbench.play import human
from rlbench.play.human import HumanPlayed, play_human
from rlbench.play.key_table import KEYS
from rlbench.play.keymap import KeyMap, key_map
from rlbench.play.window import Window
from rlbench.training import train as training

LEFT, RIGHT, SPACE, TAB = pygame.K_LEFT, pygame.K_RIGHT, pygame.K_SPACE, pygame.K_TAB


class Taped(Drawn):
    """Ten steps long; writes down what was done."""

    tape: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        result = super().reset(seed=seed)
        self.length = 10
        Taped.tape.append("reset")
        return result

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        Taped.tape.append(action)
        obs, _, terminated, truncated, info = super().step(action)
        return obs, 1.0 + (action == 1), terminated, truncated, info

    def render(self) -> Any:
        return np.full((33, 47, 3), self.steps, np.uint8)


class Mapped(Taped):
    given: Any = {}

    def get_keys_to_action(self) -> Any:
        return Mapped.given


class Box(Mapped):
    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)


class Fails(Taped):
    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        raise KeyError("no such key")


_registered = registering(
    {"human/Taped-v0": Taped, "human/Mapped-v0": Mapped, "human/Box-v0": Box, "human/Fails-v0": Fails}
)
KEYED = KeyMap({frozenset({LEFT}): 0, frozenset({RIGHT}): 1}, (0,), 1.0, "keys")
WAITS = KEYED._replace(idle=())


@pytest.fixture(autouse=True)
def tape() -> list[Any]:
    Taped.tape = []
    return Taped.tape


class Script:
    """A window that shows nothing. While picture i is shown the keys ``down[i]`` go down, and ``up[i]`` up."""

    def __init__(
        self, down: dict[int, list[int]], up: dict[int, list[int]] | None = None, closed_at: int = 500
    ) -> None:
        self.down, self.up, self.closed_at = down, up or {}, closed_at
        self.quit = frozenset({pygame.K_q, pygame.K_ESCAPE})
        self.held: list[int] = []
        self.pressed: list[int] = []
        self.shown: list[tuple[str, float]] = []

    def take(self) -> list[int]:
        pressed, self.pressed = self.pressed, []
        return pressed

    def show(self, frame: np.ndarray, title: str, seconds: float) -> bool:
        i = len(self.shown)
        self.shown.append((title, seconds))
        self.held = [*(k for k in self.held if k not in self.up.get(i, [])), *self.down.get(i, [])]
        self.pressed += self.down.get(i, [])
        return len(self.shown) < self.closed_at

    @contextmanager
    def open(self) -> Iterator["Script"]:
        yield self


def played(
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
    maker: EnvMaker,
    keys: KeyMap,
    seeds: tuple[int, ...] = (3,),
    **how: Any,
) -> list[HumanPlayed]:
    monkeypatch.setattr(human, "open_window", script.open)
    return play_human(maker, keys, seeds, **how)


def test_keys_become_actions(monkeypatch: pytest.MonkeyPatch, tape: list[Any]) -> None:
    """Picture 0 waits for a key, picture i is the state after step i: right is held from 3 to 6, left tapped at 8."""
    script = Script({0: [SPACE], 3: [RIGHT], 8: [LEFT], 12: [SPACE]}, {6: [RIGHT], 8: [LEFT], 9: [LEFT]})
    (one,) = played(script, monkeypatch, env_maker("human/Taped-v0"), KEYED._replace(idle=(0, 1)))
    assert tape == ["reset", 0, 1, 0, 1, 1, 1, 0, 1, 0, 1]
    assert one == HumanPlayed(1, 16.0, 10, 10, None)
    assert script.shown[-1][0] == "human/Taped-v0, episode 1 of 1: you"


def test_an_environment_that_waits(monkeypatch: pytest.MonkeyPatch, tape: list[Any]) -> None:
    """A press is a step; a key that is held, or one that means nothing, is none."""
    down = {0: [SPACE], 10: [RIGHT], 20: [LEFT], 21: [pygame.K_x], 30: [RIGHT]}
    script = Script({**down, **{i: [RIGHT] for i in range(40, 47)}, 80: [SPACE]})
    (one,) = played(script, monkeypatch, env_maker("human/Taped-v0"), WAITS)
    assert tape == ["reset", 1, 0, 1, *[1] * 7]
    assert one.yours == 10
    assert len(script.shown) == 81


def test_taking_over_and_giving_back(monkeypatch: pytest.MonkeyPatch, tape: list[Any]) -> None:
    """The agent, who always does 0, plays until right is pressed; Tab gives back, Tab takes."""
    seen: list[Any] = []

    def agent(obs: Any) -> int:
        seen.append(obs)
        return 0

    script = Script({0: [SPACE], 3: [RIGHT], 6: [TAB], 8: [TAB], 11: [SPACE]}, {7: [RIGHT]})
    keys = KEYED._replace(idle=(1,))
    (one,) = played(script, monkeypatch, env_maker("human/Taped-v0"), keys, agent=agent)
    mine = [0, 0, 0, 1, 1, 1, 0, 0, 1, 1]
    assert tape == ["reset", *mine, "reset", *[0] * 10]  # and the agent alone, on the same episode
    assert one == HumanPlayed(1, 15.0, 10, 5, 10.0)
    assert len(seen) == 5 + 10
    titles = [title.rpartition(": ")[2] for title, _ in script.shown[1:11]]
    assert titles == ["you" if a else "the agent" for a in mine]


def test_who_does_not_interfere_is_not_compared(monkeypatch: pytest.MonkeyPatch, tape: list[Any]) -> None:
    script = Script({0: [SPACE], 11: [SPACE]})
    (one,) = played(script, monkeypatch, env_maker("human/Taped-v0"), KEYED, agent=lambda obs: 1)
    assert one == HumanPlayed(1, 20.0, 10, 0, None)
    assert tape.count("reset") == 1


@pytest.mark.parametrize(("closed_at", "episodes"), [(1, 0), (5, 0), (12, 1), (15, 1), (500, 2)])
def test_closing_the_window(closed_at: int, episodes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script({0: [SPACE], 12: [SPACE], 24: [SPACE]}, closed_at=closed_at)
    ended: list[HumanPlayed] = []
    got = played(script, monkeypatch, env_maker("human/Taped-v0"), KEYED, (1, 2), on_episode=ended.append)
    assert got == ended
    assert [one.episode for one in got] == list(range(1, episodes + 1))


@pytest.mark.parametrize(("speed", "seconds"), [(None, 1 / 6), (2.0, 1 / 24), (float("inf"), 0.0)])
def test_pace(speed: float | None, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script({0: [SPACE], 12: [SPACE]})
    played(script, monkeypatch, env_maker("human/Taped-v0"), KEYED._replace(pace=0.5), speed=speed)
    assert [s for _, s in script.shown[1:11]] == pytest.approx([seconds] * 10)


def test_a_limit_of_our_own_ends_the_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    maker = env_maker("human/Taped-v0")._replace(limit=4)
    (one,) = played(Script({0: [SPACE], 6: [SPACE]}), monkeypatch, maker, KEYED)
    assert one.episode_length == 4


def test_an_environment_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnvError, match=r"human/Fails-v0 failed at step 1 after reset.*: KeyError"):
        played(Script({0: [SPACE]}), monkeypatch, env_maker("human/Fails-v0"), KEYED)


def test_every_key_map_fits_its_environment() -> None:
    """Each action is the environment's, and what the person is told names keys and actions."""
    for name, keys in KEYS.items():
        env_id = max(i for i in gym.registry if i.rpartition("-v")[0] == name)
        got = key_map(env_maker(env_id))
        space = gym.make(env_id).action_space
        assert len(got.press) == len(keys.press)
        assert all(space.contains(action) for action in (*got.press.values(), *got.idle)), name
        assert "action" not in got.line, name
        if isinstance(space, gym.spaces.Discrete):
            reachable = {int(action) for action in (*got.press.values(), *got.idle)}
            assert reachable == set(range(int(space.n))), name


@pytest.mark.parametrize(("key", "env_id", "moves"), [
    (LEFT, "CartPole-v1", lambda obs: obs[1] < -0.5), (RIGHT, "CartPole-v1", lambda obs: obs[1] > 0.5),
    (LEFT, "MountainCar-v0", lambda obs: obs[1] < 0), (RIGHT, "MountainCar-v0", lambda obs: obs[1] > 0),
    (LEFT, "rlbench/Catch-v0", lambda obs: obs[9, 0, 0] > 0), (RIGHT, "rlbench/Catch-v0", lambda obs: obs[9, 4, 0] > 0),
    (RIGHT, "CliffWalking-v1", lambda obs: obs == 36), (pygame.K_UP, "CliffWalking-v1", lambda obs: obs == 0),
    (pygame.K_DOWN, "FrozenLake8x8-v1", lambda obs: obs == 24), (RIGHT, "FrozenLake8x8-v1", lambda obs: obs == 3),
])  # fmt: skip
def test_an_arrow_goes_where_it_points(key: int, env_id: str, moves: Any) -> None:
    maker = env_maker(env_id, {"is_slippery": False} if "Lake" in env_id else {})
    env, keys = maker(), key_map(maker)
    obs, _ = env.reset(seed=0)
    for step in range(3):
        obs, *_ = env.step(keys.action([key], step))
    assert moves(obs)


def test_several_keys() -> None:
    keys = KeyMap({frozenset({1}): "a", frozenset({2}): "b", frozenset({1, 2}): "both"}, ("idle",), 1.0, "")
    assert [keys.action(held, 0) for held in ([], [1], [2], [1, 2], [2, 1], [9], [9, 1])] == [
        "idle", "a", "b", "both", "both", "idle", "a"
    ]  # fmt: skip
    single = KEYED.action
    assert (single([LEFT, RIGHT], 0), single([RIGHT, LEFT], 0)) == (1, 0)  # the newest


@pytest.mark.parametrize(
    ("given", "press", "idle"),
    [
        ({(ord("a"),): 0, (ord("d"),): 1}, {frozenset("a"): 0, frozenset("d"): 1}, (0,)),
        ({"a": 1, (): 0}, {frozenset("a"): 1}, (0,)),
        ({"ad": 1, (None,): 1}, {frozenset("ad"): 1}, (1,)),
        ({ord("a"): 1}, {frozenset("a"): 1}, (0,)),
        ({("a", "d"): 1}, {frozenset("ad"): 1}, (0,)),
    ],
)
def test_an_environments_own_keys(given: Any, press: dict[frozenset[str], int], idle: tuple[int, ...]) -> None:
    Mapped.given = given
    got = key_map(env_maker("human/Mapped-v0"))
    assert {frozenset(map(chr, keys)): action for keys, action in got.press.items()} == press
    assert got.idle == idle


def test_own_keys_by_old_numbers_and_for_a_box() -> None:
    Mapped.given = {(276,): [-1, 0], (275,): [1, 0], (273, 275): [1, 1]}
    got = key_map(env_maker("human/Box-v0"))
    assert got.press[frozenset({pygame.K_UP, RIGHT})].tolist() == [1, 1]
    assert got.press[frozenset({LEFT})].dtype == np.float32
    assert [a.tolist() for a in got.idle] == [[0, 0]]
    assert got.line == "left arrow: -1 0, right arrow: 1 0, right arrow + up arrow: 1 1, no key: 0 0"


@pytest.mark.parametrize(
    ("given", "wrong"),
    [(None, "gave no key map"), ({}, "gave no keys"), ({"a": 7}, "7 is no action"), ({1.5: 0}, "gave no key map"),
     ({"a": None}, "None is no action"), ([1], "gave no key map")],
)  # fmt: skip
def test_own_keys_that_are_none(given: Any, wrong: str) -> None:
    Mapped.given = given
    with pytest.raises(UsageError, match=wrong) as caught:
        key_map(env_maker("human/Mapped-v0"))
    assert "\n" not in str(caught.value)


def test_a_known_name_with_other_actions_is_not_known() -> None:
    with pytest.raises(UsageError, match="nobody has said"):
        key_map(env_maker("LunarLander-v3", {"continuous": True}))


def test_mistakes(tmp_path: Path) -> None:
    said = mistake("play", "--human", "--env", "human/Taped-v0")
    assert "nobody has said which keys play human/Taped-v0" in said
    assert "get_keys_to_action" in said
    assert "nothing to play" in mistake("play")
    assert "nothing to play" in mistake("play", "--human")
    assert "--human --env ENV" in mistake("play", "--env", "CartPole-v1")
    assert "the run says which environment it is of" in mistake("play", tmp_path, "--human", "--env", "CartPole-v1")
    assert "give one of the two" in mistake("play", tmp_path, "--human", "--episode", "best")
    assert "unknown environment" in mistake("play", "--human", "--env", "Nothing-v0")


def test_the_keys_are_said_before_it_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = training.train("human/Mapped-v0", seeds=1, total_steps=20, out=tmp_path / "run", eval_every=0).folder
    Mapped.given = {"a": 0, "d": 1}
    script = Script({0: [SPACE], 4: [ord("d")], 14: [SPACE]})
    monkeypatch.setattr(human, "open_window", script.open)
    result = rlbench("play", run, "--human", "--episodes", 1, "--speed", "max")
    assert result.exit_code == 0, result.output
    first, last = result.stdout.splitlines()
    assert first == (
        "human/Mapped-v0: A: action 0, D: action 1, no key: action 0. The agent plays until you press one of these; "
        "Tab hands over and back. q or Escape stops."
    )
    assert "length 10, 6 of them yours; the agent alone: " in last
    script = Script({0: [SPACE]}, closed_at=5)
    monkeypatch.setattr(human, "open_window", script.open)
    result = rlbench("play", "--human", "--env", "human/Mapped-v0", "--episodes", 2)
    assert result.stdout.splitlines()[-1] == "the window was closed in episode 1"


def test_a_real_window_knows_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame.display.init()
    try:
        window, picture = Window(), np.zeros((20, 30, 3), np.uint8)
        assert window.show(picture, "t", 0)

        def post(*events: tuple[int, int]) -> bool:
            for kind, key in events:
                pygame.event.post(pygame.event.Event(kind, key=key) if key else pygame.event.Event(kind))
            return window.show(picture, "t", 0.001)

        assert post((pygame.KEYDOWN, LEFT), (pygame.KEYDOWN, RIGHT), (pygame.KEYUP, LEFT))
        assert window.held == [RIGHT]
        assert window.take() == [LEFT, RIGHT]
        assert window.take() == []
        assert post((pygame.WINDOWFOCUSLOST, 0))
        assert window.held == []
        window.quit = frozenset({pygame.K_ESCAPE})
        assert post((pygame.KEYDOWN, pygame.K_q))
        assert not post((pygame.KEYDOWN, pygame.K_ESCAPE))
    finally:
        pygame.quit()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("Xvfb") or not shutil.which("xdotool"), reason="needs Xvfb and xdotool")
def test_a_real_keyboard(tmp_path: Path) -> None:
    """Keys that an X server sends, to a process of its own: hold the ball's side in Catch to the end."""
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "800x600x24"], pass_fds=[write], stderr=subprocess.DEVNULL
    )
    os.close(write)
    with os.fdopen(read) as pipe:
        env = without_display(DISPLAY=f":{pipe.readline().strip()}")
    command = [sys.executable, "-m", "rlbench", "play", "--human", "--env", "rlbench/Catch-v0", "--episodes", "1"]
    try:
        player = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert player.stdout is not None
        assert "left arrow: left" in player.stdout.readline()
        for _ in range(200):  # space begins, and in the end closes; right in between
            for key in ("space", "Right"):
                subprocess.run(["xdotool", "key", key], env=env, check=True)
            if player.poll() is not None:
                break
            time.sleep(0.1)
        out, err = player.communicate(timeout=20)
    finally:
        server.terminate()
        server.wait()
    assert (player.returncode, err) == (0, "")
    assert "episode 1  return " in out
    assert "length 9, 9 of them yours" in out
