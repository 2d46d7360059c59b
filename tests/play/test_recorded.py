"""Episodes of training, run again: those that were asked for, with every picture, honest where they do not repeat."""

import csv
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import mistake, rlbench, succeeds
from conftest import registering
from PIL import Image
from test_play import FPS, HEIGHT, WIDTH, Blind, Drawn, FakeWindow
from test_video import read_mp4

import rlbench as package
from rlbench.errors import EnvError, UsageError
from rlbench.numbers import number
from rlbench.play import mosaic, recorded
from rlbench.play.greedy import HOLD
from rlbench.play.mosaic import GAP, Mosaic, Tile
from rlbench.trained import rerun
from rlbench.trained.recording import Chosen, Recording, choose, open_recording


class Moody(Drawn):
    """Not deterministic given its seed: an episode is one step longer the second time around."""

    later = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        result = super().reset(seed=seed)
        self.length += Moody.later
        return result


class Fragile(Drawn):
    later = False

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict]:
        if Fragile.later:
            raise RuntimeError("no\nmore")
        return super().step(action)


_registered = registering(
    {"travel/Drawn-v0": Drawn, "travel/Blind-v0": Blind, "travel/Moody-v0": Moody, "travel/Fragile-v0": Fragile}
)


def trained_on(env_id: str, folder: Path, **keys: Any) -> Path:
    keys = {"seeds": 2, "total_steps": 60, "eval_every": 0, "final_eval_episodes": 0, **keys}
    return package.train(env_id, agent="random", out=folder, **keys).folder


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory, _registered: None) -> Path:
    return trained_on("travel/Drawn-v0", tmp_path_factory.mktemp("runs") / "drawn")


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory, _registered: None) -> Path:
    """Three environments per seed."""
    return trained_on("travel/Drawn-v0", tmp_path_factory.mktemp("runs") / "copies", num_envs=3)


@pytest.fixture
def run(drawn: Path, tmp_path: Path) -> Path:
    """A run folder to break."""
    return Path(shutil.copytree(drawn, tmp_path / "run"))


def rows(run: Path, seed: int) -> list[dict[str, Any]]:
    with (run / "episodes.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["seed"] == str(seed)]


def line(row: dict[str, Any], copy: str = "") -> str:
    """What play says of an episode of episodes.csv."""
    return (
        f"episode {row['episode']}{copy} of seed {row['seed']}  return {number(float(row['episode_return']))}  "
        f"length {row['episode_length']}  env step {int(row['env_steps']):,}"
    )


def best(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return max(rows, key=lambda row: float(row["episode_return"]))


@pytest.mark.parametrize("seed", [0, 1])
def test_words_and_numbers(seed: int, drawn: Path) -> None:
    own = rows(drawn, seed)
    worst = min(own, key=lambda row: float(row["episode_return"]))
    said = succeeds("play", drawn, "--episode", " last,best, first,worst,7", "--seed", seed, "--no-render").splitlines()
    assert said == list(dict.fromkeys(line(row) for row in (own[-1], best(own), own[0], worst, own[7])))
    assert len(said) >= 4
    said = succeeds("play", drawn, "--episode", "5,first,5,0", "--seed", seed, "--no-render").splitlines()
    assert said == [line(own[5]), line(own[0])]


def test_the_seed_with_the_best_episode_unless_told_otherwise(drawn: Path, tmp_path: Path) -> None:
    top = best([best(rows(drawn, 0)), best(rows(drawn, 1))])
    assert succeeds("play", drawn, "--episode", "best", "--no-render") == line(top) + "\n"
    seed = int(top["seed"])
    assert succeeds("play", drawn, "--episode", "0", "--no-render") == line(rows(drawn, seed)[0]) + "\n"
    even = trained_on("CartPole-v1", tmp_path / "even", seeds=3, max_episode_steps=3)  # all returns are 3
    assert succeeds("play", even, "--episode", "best", "--no-render") == line(rows(even, 0)[0]) + "\n"


def test_copies(copies: Path) -> None:
    own = rows(copies, 0)
    for name, row in (("first", own[0]), ("best", best(own)), ("last", own[-1])):
        said = succeeds("play", copies, "--episode", name, "--no-render", "--seed", 0)
        assert said == line(row, f"@{row['env']}") + "\n"
    (row,) = [row for row in own if (row["env"], row["episode"]) == ("2", "1")]
    assert succeeds("play", copies, "--episode", "1@2", "--no-render", "--seed", 0) == line(row, "@2") + "\n"
    counts = [sum(row["env"] == str(env) for row in own) for env in range(3)]
    assert len(set(counts)) > 1, "needs copies that finished different numbers of episodes"
    top = max(counts) - 1
    if counts.count(top + 1) == 1:  # no other copy has come so far
        assert f"episode {top}@" in succeeds("play", copies, "--episode", top, "--no-render", "--seed", 0)


def tile(picture: np.ndarray, k: int, of: int) -> tuple[int, int]:
    """Which episode's colour the k-th tile of a row shows, and which step."""
    factor = -(-mosaic.NARROWEST // WIDTH)
    width, height = WIDTH * factor, HEIGHT * factor
    assert picture.shape[1] == of * (width + GAP) - GAP
    shown = picture[-height:, k * (width + GAP) :][:, :width]
    return round(float(shown[: height // 3].mean())), round(float(shown[-height // 3 :].mean()) / 40)


def test_pictures_side_by_side_from_the_reset_to_the_last_state(drawn: Path) -> None:
    recording = open_recording(drawn)
    chosen = choose(recording, "0,1,2", 0)
    lengths = [one.entry.episode_length for one in chosen]
    assert len(set(lengths)) > 1
    ended: list[rerun.Replayed] = []
    shown = list(recorded.pictures(recording, chosen, ended.append))
    assert len(shown) == max(lengths) + 1
    assert len({picture.shape for picture in shown}) == 1
    for k in range(3):
        seen = [tile(picture, k, 3) for picture in shown]
        assert [step for _, step in seen] == [min(t, lengths[k]) for t in range(len(shown))]
        assert len({colour for colour, _ in seen}) == 1
    assert len({tile(shown[0], k, 3)[0] for k in range(3)}) == 3  # other seeds, other colours
    assert sorted(one.entry.episode for one in ended) == [0, 1, 2]
    assert all(one.end == one.entry.end for one in ended)


def test_gif(drawn: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.gif"
    said = succeeds("play", drawn, "--episode", "first,last", "--seed", 0, "--video", path).splitlines()
    own = [rows(drawn, 0)[0], rows(drawn, 0)[-1]]
    lengths = [int(row["episode_length"]) for row in own]
    assert sorted(said[:2]) == sorted(map(line, own))
    with Image.open(path) as image:
        seen = []
        for i in range(image.n_frames):
            image.seek(i)
            picture = np.asarray(image.convert("RGB"))
            seen.append((tile(picture, 0, 2)[1], tile(picture, 1, 2)[1]))
    expected = [tuple(min(t, n) for n in lengths) for t in range(max(lengths) + 1)]
    assert list(dict.fromkeys(seen)) == expected
    frames = len(expected) + round(HOLD * FPS)
    assert said[2] == f"{path}: {frames} frames, {frames / FPS:.1f}s"


def test_mp4(drawn: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    succeeds("play", drawn, "--episode", "3", "--seed", 1, "--video", path, "--speed", 2)
    frames, meta = read_mp4(path)
    length = int(rows(drawn, 1)[3]["episode_length"])
    assert len(frames) == length + 1 + FPS
    assert meta["fps"] == 2 * FPS


def test_episodes_beyond_a_gifs_limit_are_replayed_all_the_same(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlbench.play.video.MAX_GIF_PIXELS", 1)
    said = succeeds("play", drawn, "--episode", "0,1", "--seed", 0, "--video", tmp_path / "out.gif")
    assert len(said.splitlines()) == 3
    assert "cut short" in said


def test_window(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    window = FakeWindow(10**6)
    monkeypatch.setattr(recorded, "open_window", window.open)
    said = succeeds("play", drawn, "--episode", "0,1", "--seed", 0)
    assert len(said.splitlines()) == 2
    lengths = [int(row["episode_length"]) for row in rows(drawn, 0)[:2]]
    assert len(window.shown) == max(lengths) + 1
    assert window.shown[0][1] == "travel/Drawn-v0  training of seed 0"
    assert [seconds for _, _, seconds in window.shown] == [1 / FPS] * max(lengths) + [HOLD]
    window = FakeWindow(2)
    monkeypatch.setattr(recorded, "open_window", window.open)
    assert succeeds("play", drawn, "--episode", "0", "--seed", 0) == "the window was closed before the end\n"
    assert len(window.shown) == 2


REQUESTS: list[tuple[list[Any], str]] = [
    (["--episode", "frist"], r"--episode 'frist': 'frist' is neither a number, nor N@COPY, nor first, best, worst"),
    (["--episode", ""], r"--episode '': '' is neither"),
    (["--episode", "first,,best"], r"'' is neither a number.*--episode first,best"),
    (["--episode", "-1"], r"'-1' is neither a number"),
    (["--episode", "1@"], r"'1@' is neither a number"),
    (["--episode", "²"], r"'²' is neither a number"),
    (["--episode", "999", "--seed", 1], r"seed 1 of .* has no finished episode 999; it has finished 0 to \d+\."),
    (["--episode", "0@3", "--seed", 1], r"seed 1 of .* has no finished episode 0@3; it has the copies 0 to 0\."),
    (["--episode", "99@0", "--seed", 1], r"copy 0 of seed 1 of .* no finished episode 99@0; it has finished 0 to \d+"),
    (["--episode", "first", "--seed", 7], r"has no seed 7; it has 0, 1\."),
    (["--episode", "first", "--episodes", 3], r"--episodes counts .* --episode names some of training: give one"),
    (["--episode", "first", "--video", "a.avi"], r"\.mp4 or \.gif"),
    (["--episode", "first", "--video", "a.gif", "--no-render"], r"give one of the two"),
    (["--episode", "first", "--agent", "dqn"], r"was made by agent 'random', not 'dqn'"),
]


@pytest.mark.parametrize(("flags", "words"), REQUESTS, ids=str)
def test_requests_that_cannot_be_met(
    flags: list[Any], words: str, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert re.search(words, mistake("play", drawn, *flags))
    assert list(tmp_path.iterdir()) == []


def test_which_copy_is_asked_where_several_have_such_an_episode(copies: Path) -> None:
    said = mistake("play", copies, "--episode", "1", "--seed", 1, "--no-render")
    assert "has 3 episodes 1, one of each environment copy. Say which: 1@0, 1@1, 1@2" in said


def test_too_many_for_one_picture(drawn: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(recorded, "MOST", 2)
    said = mistake("play", drawn, "--episode", "0,1,2", "--seed", 0, "--video", tmp_path / "a.gif")
    assert "at most 2 episodes can be shown at once, not 3" in said
    assert list(tmp_path.iterdir()) == []
    assert len(succeeds("play", drawn, "--episode", "0,1,2", "--seed", 0, "--no-render").splitlines()) == 3


def test_folders_that_hold_no_journal(run: Path, tmp_path: Path) -> None:
    ask = ("--episode", "first", "--no-render")
    assert "no such folder" in mistake("play", tmp_path / "none", *ask)
    assert "holds no recipe.toml" in mistake("play", tmp_path, *ask)
    said = mistake("play", run / "checkpoint.pth", *ask)
    assert said.endswith(f"is no run folder: it is a file. Its run may be {run}.")
    (run / "journal/1.bin").unlink()
    assert "seed 1 of" in mistake("play", run, *ask, "--seed", 1)
    (run / "journal/0.bin").write_bytes(b"")
    assert f"no episode has finished yet in {run}." in mistake("play", run, *ask)
    assert "has finished no episode yet" in mistake("play", run, *ask, "--seed", 0)
    shutil.rmtree(run / "journal")
    assert "has no journal: it was trained by a version that kept none, or" in mistake("play", run, *ask)
    (run / "episodes.csv").unlink()
    assert "has no journal: no episode has finished yet." in mistake("play", run, *ask)
    (run / "recipe.toml").write_text("env = [")
    assert f"{run / 'recipe.toml'} is damaged: " in mistake("play", run, *ask)


def test_a_damaged_journal(run: Path) -> None:
    path = run / "journal/0.bin"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert f"{path} is damaged" in mistake("play", run, "--episode", "first", "--no-render")
    succeeds("play", run, "--episode", "first", "--no-render", "--seed", 1)


def test_neither_checkpoint_nor_end_of_the_run_is_needed(run: Path) -> None:
    for path in (*run.glob("*.pth"), run / "summary.json", run / "episodes.csv"):
        path.unlink()
    with (run / "journal/0.bin").open("ab") as file:
        file.write(b"half a record")
    assert succeeds("play", run, "--episode", "first", "--seed", 0, "--no-render").startswith("episode 0 of seed 0  ")


def test_nothing_that_the_recipe_names_is_run(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("evil", "evil_env"):
        (tmp_path / f"{name}.py").write_text(f"import pathlib\npathlib.Path('{name}-ran').touch()\n")
    toml = run / "recipe.toml"
    text = toml.read_text().replace('agent = "random"', 'agent = "evil.py:Evil"').replace("[random]", "[Evil]")
    assert "evil.py:Evil" in text
    toml.write_text(text)
    succeeds("play", run, "--episode", "first", "--no-render")  # the agent does not act
    toml.write_text(re.sub(r"imports = \[[^]]*\]", 'imports = ["evil_env"]', text))
    assert "Say: --import evil_env" in mistake("play", run, "--episode", "first", "--no-render")
    assert not list(tmp_path.glob("*-ran"))
    succeeds("play", run, "--episode", "first", "--no-render", "--import", "evil_env")
    assert [path.name for path in tmp_path.glob("*-ran")] == ["evil_env-ran"]


def test_an_environment_without_pictures(tmp_path: Path) -> None:
    blind = trained_on("travel/Blind-v0", tmp_path / "run")
    said = mistake("play", blind, "--episode", "first", "--video", tmp_path / "a.gif")
    assert "travel/Blind-v0 makes no pictures (rgb_array); its render modes are: ansi. --no-render" in said
    assert len(succeeds("play", blind, "--episode", "first", "--no-render").splitlines()) == 1


def test_an_episode_that_does_not_repeat_itself_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moody = trained_on("travel/Moody-v0", tmp_path / "run", seeds=1)
    succeeds("play", moody, "--episode", "first,last", "--no-render")
    monkeypatch.setattr(Moody, "later", -1)
    for how in (["--no-render"], ["--video", tmp_path / "a.gif"]):
        result = rlbench("play", moody, "--episode", "first,last", *how)
        assert result.exit_code == 1
        assert len(re.findall("^episode", result.stdout, re.MULTILINE)) == 2
        length = int(rows(moody, 0)[0]["episode_length"])
        (said,) = result.stderr.splitlines()
        assert "Error: travel/Moody-v0 did not repeat itself: episode 0 of seed 0 gave return" in said
        assert f"after {length - 1} steps (terminated) where return" in said
        assert f"after {length} steps (terminated) was recorded, and 1 more differ. It is not deterministic" in said
    assert (tmp_path / "a.gif").exists()


def test_an_environment_that_fails_in_the_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fragile = trained_on("travel/Fragile-v0", tmp_path / "run", seeds=1)
    monkeypatch.setattr(Fragile, "later", True)
    said = mistake("play", fragile, "--episode", "2", "--no-render")
    assert "travel/Fragile-v0 failed at step 1, when episode 2 of seed 0 was run again: " in said
    assert "in step: RuntimeError: no" in said
    recording = open_recording(fragile)
    with pytest.raises(EnvError, match="when episode 2"):
        list(recorded.pictures(recording, choose(recording, "2")))


@pytest.mark.parametrize("words", ["", "first, best, worst, last"])
@pytest.mark.parametrize(
    ("height", "width"), [(4, 4), (10, 5), (33, 47), (64, 64), (210, 160), (240, 720), (900, 1600)]
)
def test_titles_stay_on_their_strip(height: int, width: int, words: str) -> None:
    """However small the pictures are: no letter touches the strip's edge, and no picture lies under one."""
    long = f"episode {2**32 - 1}@9999 of seed {2**63 - 1}: {words}"
    frames = [np.full((height, width, 3), 255, np.uint8)] * 3
    drawn = Mosaic(frames).draw(
        [Tile(frame, long, f"return {-(10**9)}.5 of 0.0   ended at 1", True) for frame in frames]
    )
    white = (drawn == 255).all(2)
    top = int(np.argmax(white.sum(1) > width // 2 + 10)) if width > 400 else int(np.argmax(white[:, 2]))
    strip = drawn[:top]
    assert strip.shape[0] >= 30
    lit = (strip.max(2).astype(int) - strip.min(2) > 60) | (strip.min(2) > 120)
    assert lit.sum() > 200
    columns = np.flatnonzero(lit.any(0))
    assert columns.min() > 2
    assert not lit[:, -3:].any()
    assert not lit[0].any()
    assert not lit[-1].any()
    assert drawn.shape[1] <= mosaic.LARGEST[0]
    assert drawn.shape[0] <= mosaic.LARGEST[1]


def test_a_title_is_made_smaller_before_it_is_cut() -> None:
    long = "episode 1234@12 of seed 1234567: first, best"
    text, font = mosaic._fitting(long, 20, 240)
    assert text == long
    assert font.getlength(text) <= 240 < mosaic._font(20).getlength(text)
    assert mosaic._fitting("short", 20, 240) == ("short", mosaic._font(20))


@pytest.mark.parametrize(
    ("n", "shape", "columns"),
    [(1, (400, 600), 1), (2, (400, 600), 2), (3, (400, 600), 3), (4, (400, 600), 2), (2, (240, 720), 2),
     (6, (400, 600), 3), (16, (400, 600), 4), (5, (480, 240), 5), (3, (100, 1900), 1)],
)  # fmt: skip
def test_layout(n: int, shape: tuple[int, int], columns: int) -> None:
    assert Mosaic([np.zeros((*shape, 3), np.uint8)] * n).columns == columns


def test_pictures_of_different_sizes_find_room() -> None:
    frames = [np.full((h, w, 3), 255, np.uint8) for h, w in ((300, 400), (100, 400))]
    layout = Mosaic(frames)
    one, two = (layout.draw([Tile(f, "", "", False) for f in pair]) for pair in (frames, frames[::-1]))
    assert one.shape == two.shape
    assert (one == 255).all(2).sum() == (two == 255).all(2).sum() == 400 * 300 + 400 * 100
    other = layout.draw([Tile(frames[0][:50, :50], "", "", False), Tile(frames[1], "", "", False)])
    assert other.shape == one.shape


def test_python_calls_need_no_command_line(drawn: Path) -> None:
    recording = open_recording(str(drawn))
    assert isinstance(recording, Recording)
    chosen = choose(recording, "first,worst", 0)
    assert all(isinstance(one, Chosen) for one in chosen)
    ended: list[rerun.Replayed] = []
    rerun.replay_returns(recording, chosen, ended.append)
    rerun.check(recording, ended)
    with pytest.raises(UsageError, match="no seed 3"):
        recording.entries(3)
