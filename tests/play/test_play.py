"""What is shown was measured: the true frames, from the first to the last, of episodes that evaluation counts."""

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
import pytest
from click.testing import CliRunner, Result
from conftest import registering
from PIL import Image
from test_video import read_mp4

import rlbench
from rlbench.cli import main
from rlbench.errors import EnvError, UsageError
from rlbench.numbers import number
from rlbench.play import greedy, recorded
from rlbench.play.window import Window
from rlbench.training import train as training

HEIGHT, WIDTH, FPS = 33, 47, 12


class Drawn(gym.Env):
    """Its pictures say where they are from: the upper half is the episode's colour, the lower half the step."""

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": FPS}
    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.colour = int(self.np_random.integers(20, 236))
        self.length = int(self.np_random.integers(3, 7))
        self.steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict]:
        self.steps += 1
        return np.zeros(2, np.float32), float(self.np_random.normal()), self.steps == self.length, False, {}

    def render(self) -> Any:
        frame = np.full((HEIGHT, WIDTH, 3), self.colour, np.uint8)
        frame[HEIGHT // 2 :] = self.steps * 40
        return frame


class Blind(Drawn):
    metadata = {"render_modes": ["ansi"]}


class Grey(Drawn):
    def render(self) -> Any:
        return super().render()[..., 0]


_registered = registering({"test/Drawn-v0": Drawn, "test/Blind-v0": Blind, "test/Grey-v0": Grey})


def trained_on(env_id: str, folder: Path) -> Path:
    training.train(env_id, seeds=2, total_steps=40, out=folder, eval_every=0, eval_episodes=2, final_eval_episodes=2)
    return folder


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory, _registered: None) -> Path:
    return trained_on("test/Drawn-v0", tmp_path_factory.mktemp("runs") / "drawn")


@pytest.fixture(scope="module")
def catch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_on("rlbench/Catch-v0", tmp_path_factory.mktemp("runs") / "catch")


def of(frame: np.ndarray) -> tuple[int, int]:
    """Which episode's colour a picture shows, and which step."""
    return round(float(frame[: HEIGHT // 2 - 2, :WIDTH].mean())), round(
        float(frame[HEIGHT // 2 + 3 : HEIGHT].mean()) / 40
    )


def play(*args: str | Path) -> Result:
    return CliRunner().invoke(main, ["play", *map(str, args)])


@pytest.mark.parametrize("seed", [0, 1])
def test_the_episodes_are_those_of_an_evaluation(drawn: Path, seed: int) -> None:
    told: list[greedy.Played] = []
    one = rlbench.load(drawn, seed=seed)
    played = greedy.play_returns(one, 10, told.append)
    counted = rlbench.evaluate(drawn, 10)[seed]
    assert [p.episode_return for p in played] == counted.tolist()
    assert len(set(counted.tolist())) == 10
    assert told == played
    assert [(p.seed, p.episode) for p in played] == [(seed, k) for k in range(1, 11)]
    beyond = [p.episode_return for p in greedy.play_returns(one, 23)]
    assert sorted(beyond) == sorted(rlbench.evaluate(drawn, 23)[seed].tolist())


def test_a_real_agent_plays_as_it_was_evaluated(tmp_path: Path) -> None:
    training.train("CartPole-v1", seeds=2, total_steps=600, out=tmp_path / "run", eval_every=0, final_eval_episodes=1)
    played = greedy.play_returns(rlbench.load(tmp_path / "run", seed=1), 4)
    assert [p.episode_return for p in played] == rlbench.evaluate(tmp_path / "run", 10)[1, :4].tolist()
    assert [p.episode_length for p in played] == [p.episode_return for p in played]


def test_pictures_begin_with_the_reset_and_end_with_the_last_state(drawn: Path) -> None:
    one = rlbench.load(drawn, seed=0)
    shown = list(greedy.scenes(one, 12, film=True))
    for k in range(1, 13):
        moments = [m for m in shown if m.episode == k]
        played = moments[-1].played
        assert played is not None
        pictures = [of(m.frame) for m in moments if m.frame is not None]
        assert [step for _, step in pictures] == list(range(played.episode_length + 1))
        assert len({colour for colour, _ in pictures}) == 1
        assert [m.played for m in moments[:-1]] == [None] * played.episode_length
        assert moments[0].episode_return == 0
        assert moments[-2].episode_return != moments[-1].episode_return == played.episode_return
    assert len({of(m.frame)[0] for m in shown if m.frame is not None}) > 8  # other episodes, other colours
    assert [m.played for m in shown if m.played] == greedy.play_returns(one, 12)  # pictures change nothing


def test_mp4(drawn: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    one = rlbench.load(drawn, seed=0)
    result = play(drawn, "--seed", 0, "--episodes", 3, "--video", path)
    assert result.exit_code == 0, result.output
    played = greedy.play_returns(one, 3)
    lines = result.output.splitlines()
    assert lines[:-1] == [
        f"seed 0  episode {p.episode}  return {number(p.episode_return)}  length {p.episode_length}" for p in played
    ]
    truth = [of(m.frame) for m in greedy.scenes(one, 3, film=True) if m.frame is not None]
    frames, meta = read_mp4(path)
    hold, expected = FPS // 2, []
    for picture, following in zip(truth, [*truth[1:], (0, 0)], strict=True):
        expected += [picture] * (1 + hold * (following[1] == 0))
    assert len(frames) == len(expected)
    assert all(
        abs(got[0] - want[0]) <= 3 and got[1] == want[1] for got, want in zip(map(of, frames), expected, strict=True)
    )
    assert (meta["size"], meta["fps"]) == ((WIDTH + 1, HEIGHT + 1), FPS)
    mean = np.mean([p.episode_return for p in played])
    assert lines[-1].startswith(f"mean return {number(mean)} over 3 episodes; {path}: {len(frames)} frames, ")


@pytest.mark.parametrize("speed", [1, 4])  # 12 pictures a second, and 48, of which a GIF keeps every third
def test_gif(drawn: Path, tmp_path: Path, speed: int) -> None:
    path = tmp_path / "out.gif"
    one = rlbench.load(drawn, seed=1)
    played, written = greedy.play_video(one, path, 4, speed)
    truth = [of(m.frame) for m in greedy.scenes(one, 4, film=True) if m.frame is not None]
    with Image.open(path) as image:
        shown, total = [], 0
        for i in range(image.n_frames):
            image.seek(i)
            shown.append(of(np.asarray(image.convert("RGB"))))
            total += image.info["duration"]
    ends = [i for i, (_, step) in enumerate([*truth[1:], (0, 0)]) if step == 0]
    for i in (0, *ends, *(i + 1 for i in ends[:-1])):  # no first and no last picture is left out
        assert truth[i] in shown
    if speed == 1:
        assert shown == truth
    assert len(played) == 4
    assert total / 1000 == pytest.approx(written.seconds, abs=0.01)
    real = (len(truth) / FPS) / speed + 4 * greedy.HOLD
    assert real - 0.1 < written.seconds < real + 4 * 3 / FPS / speed


def test_episodes_beyond_a_gifs_limit_are_played_all_the_same(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlbench.play.video.MAX_GIF_PIXELS", 20 * HEIGHT * WIDTH)
    result = play(drawn, "--seed", 0, "--episodes", 5, "--video", tmp_path / "out.gif")
    assert result.exit_code == 0, result.output
    assert len(result.output.splitlines()) == 6
    assert "over 5 episodes" in result.output
    assert "20 frames" in result.output
    assert "cut short" in result.output


def test_no_render(drawn: Path) -> None:
    result = play(drawn, "--no-render", "--episodes", 2, "--seed", 1)
    assert result.exit_code == 0, result.output
    assert [line.split()[:4] for line in result.output.splitlines()[:-1]] == [
        ["seed", "1", "episode", "1"],
        ["seed", "1", "episode", "2"],
    ]


def test_the_best_seed_is_shown_unless_told_otherwise(drawn: Path) -> None:
    best = rlbench.load(drawn, seed="best").seeds[0]
    assert play(drawn, "--no-render", "--episodes", 1).output.startswith(f"seed {best}  episode 1  ")
    result = play(drawn, "--no-render", "--seed", 7)
    assert result.exit_code == 2
    assert "no seed 7" in result.output


def test_requests_that_do_not_fit(drawn: Path, tmp_path: Path) -> None:
    for args, says in (
        (["--video", tmp_path / "a.mp4", "--no-render"], "one of the two"),
        (["--video", tmp_path / "a.avi"], ".mp4 or .gif"),
    ):
        result = play(drawn, *args)
        assert result.exit_code == 2
        assert says in result.output
    with pytest.raises(UsageError, match="one seed"):
        greedy.play_returns(rlbench.load(drawn), 1)
    assert list(tmp_path.iterdir()) == []


def test_an_environment_without_pictures(tmp_path: Path) -> None:
    run = trained_on("test/Blind-v0", tmp_path / "run")
    result = play(run, "--video", tmp_path / "a.mp4")
    assert result.exit_code == 2
    assert "its render modes are: ansi" in result.output
    assert "--no-render" in result.output
    assert not (tmp_path / "a.mp4").exists()
    assert play(run, "--no-render").exit_code == 0


def test_pictures_that_are_none(tmp_path: Path) -> None:
    run = trained_on("test/Grey-v0", tmp_path / "run")
    with pytest.raises(EnvError, match=r"test/Grey-v0 cannot draw itself.*\(33, 47\) uint8"):
        greedy.play_video(rlbench.load(run, seed=0), tmp_path / "a.mp4", 1)


class FakeWindow:
    """Shows nothing; the user closes it at picture number ``closed_at``."""

    def __init__(self, closed_at: int) -> None:
        self.closed_at = closed_at
        self.shown: list[tuple[tuple[int, int], str, float]] = []

    def show(self, frame: np.ndarray, title: str, seconds: float) -> bool:
        self.shown.append((of(frame), title, seconds))
        return len(self.shown) < self.closed_at

    @contextmanager
    def open(self) -> Iterator["FakeWindow"]:
        yield self


def test_window_shows_every_state(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    window = FakeWindow(10**6)
    monkeypatch.setattr(greedy, "open_window", window.open)
    one = rlbench.load(drawn, seed=0)
    played = greedy.play_window(one, 2, speed=2)
    assert played == greedy.play_returns(one, 2)
    assert [p for p, _, _ in window.shown] == [
        of(m.frame) for m in greedy.scenes(one, 2, film=True) if m.frame is not None
    ]
    assert window.shown[0][1] == "test/Drawn-v0  seed 0  episode 1 of 2  return 0"
    assert window.shown[-1][1].endswith(f"episode 2 of 2  return {number(played[1].episode_return)}")
    assert [s for _, _, s in window.shown].count(greedy.HOLD) == 2
    assert window.shown[0][2] == pytest.approx(1 / FPS / 2)


@pytest.mark.parametrize("way", [(), ("--episode", "0,1")])
def test_as_fast_as_can_be(drawn: Path, way: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """No picture waits for its time, but for the last one of an episode."""
    window = FakeWindow(10**6)
    for module in (greedy, recorded):
        monkeypatch.setattr(module, "open_window", window.open)
    result = play(drawn, "--seed", 0, "--speed", "max", *way)
    assert result.exit_code == 0, result.output
    assert {s for _, _, s in window.shown} == {0.0, greedy.HOLD}
    assert len(window.shown) > 4


def test_closing_the_window_ends_politely(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    length = greedy.play_returns(rlbench.load(drawn, seed=0), 1)[0].episode_length
    for closed_at, says in (
        (2, "the window was closed in episode 1"),
        (length + 3, "over 1 episode; the window was closed in episode 2"),
    ):
        window = FakeWindow(closed_at)
        monkeypatch.setattr(greedy, "open_window", window.open)
        result = play(drawn, "--seed", 0)
        assert result.exit_code == 0, result.output
        assert len(window.shown) == closed_at
        assert result.output.splitlines()[-1].endswith(says)


def test_q_escape_and_the_cross_close_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import pygame

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame.display.init()
    try:
        window = Window()
        picture = np.full((20, 30, 3), 200, np.uint8)
        assert window.show(picture, "title", 0.01)
        surface = pygame.display.get_surface()
        assert surface is not None
        assert surface.get_size() == (480, 320)  # enlarged, since 30 pixels are hard to see
        assert surface.get_at((240, 160))[:3] == (200, 200, 200)
        assert pygame.display.get_caption()[0] == "title"
        began = time.monotonic()
        for _ in range(10):
            assert window.show(picture, "title", 0.02)
        assert time.monotonic() - began > 0.18
        for event in (
            pygame.event.Event(pygame.KEYDOWN, key=pygame.K_q),
            pygame.event.Event(pygame.KEYDOWN, key=pygame.K_ESCAPE),
            pygame.event.Event(pygame.QUIT),
        ):
            pygame.event.post(event)
            assert not Window().show(picture, "title", 60)
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_a))
        assert Window().show(picture, "title", 0.01)
    finally:
        pygame.quit()


def without_display(**more: str) -> dict[str, str]:
    gone = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER")
    return {k: v for k, v in os.environ.items() if k not in gone} | more


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="DISPLAY is a matter of Linux")
def test_without_a_display_play_fails(catch: Path) -> None:
    command = [sys.executable, "-m", "rlbench", "play", str(catch)]
    result = subprocess.run(command, env=without_display(), capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    for word in ("no display", "--video out.mp4", "--no-render", "DISPLAY"):
        assert word in result.stderr


OPEN = """
from rlbench.errors import UsageError
from rlbench.play.window import open_window
try:
    with open_window():
        print("opened")
except UsageError as e:
    print(e)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="DISPLAY is a matter of Linux")
@pytest.mark.parametrize(
    "env",
    [
        {"DISPLAY": ":97531"},
        {"WAYLAND_DISPLAY": "wayland-nowhere"},
        {"DISPLAY": ":97531", "SDL_VIDEODRIVER": "dummy"},
        {"DISPLAY": ":97531", "SDL_VIDEODRIVER": "offscreen"},
    ],
)
def test_a_display_that_shows_nothing_is_no_display(env: dict[str, str]) -> None:
    result = subprocess.run([sys.executable, "-c", OPEN], env=without_display(**env), capture_output=True, text=True)
    assert "no display to open a window on" in result.stdout, result.stdout + result.stderr


def test_a_video_needs_no_display(catch: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "rlbench",
        "play",
        str(catch),
        "--video",
        str(tmp_path / "a.gif"),
        "--episodes",
        "1",
    ]
    result = subprocess.run(command, env=without_display(), capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    with Image.open(tmp_path / "a.gif") as image:
        assert image.size == (240, 480)
        assert image.n_frames == 10


@pytest.mark.skipif(not shutil.which("Xvfb"), reason="needs Xvfb, an X server without a screen")
@pytest.mark.parametrize(("way", "boards"), [(("--episodes", "1"), 1), (("--episode", "0,1"), 2)])
def test_a_real_window_shows_the_episode(catch: Path, tmp_path: Path, way: tuple[str, str], boards: int) -> None:
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "800x600x24", "-fbdir", str(tmp_path)],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as pipe:
        display = pipe.readline().strip()
    assert display
    try:
        player = subprocess.Popen(
            [sys.executable, "-m", "rlbench", "play", str(catch), *way],
            env=without_display(DISPLAY=f":{display}"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        seen = 0
        while player.poll() is None:
            seen = max(seen, background_pixels(tmp_path / "Xvfb_screen0"))
            time.sleep(0.05)
        out, err = player.communicate()
    finally:
        server.terminate()
        server.wait()
    assert (player.returncode, err) == (0, "")
    assert out.count("  return ") == boards
    assert seen > (boards - 0.5) * 240 * 480  # side by side, where there are two


def background_pixels(screen: Path) -> int:
    """How many pixels of the X server's screen (an XWD file) have the colour of Catch's board."""
    data = screen.read_bytes()
    header, colours = (int.from_bytes(data[at : at + 4], "big") for at in (0, 19 * 4))
    pixels = np.frombuffer(data[header + 12 * colours :], np.uint8)
    pixels = pixels[: pixels.size // 4 * 4].reshape(-1, 4)  # blue, green, red, nothing
    return int((pixels[:, :3] == (48, 37, 30)).all(1).sum())
