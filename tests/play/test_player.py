"""The page holds what happened: every picture, action, reward and Q-value, nothing from outside, nothing unescaped."""

import base64
import hashlib
import io
import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from browser import Browser, browser, needs_chromium
from command import mistake, rlbench, succeeds
from conftest import registering
from PIL import Image
from test_play import Blind, Drawn

import rlbench as package
from rlbench import Learner
from rlbench.errors import AgentError, UsageError
from rlbench.numbers import number
from rlbench.play import player, reel
from rlbench.play.key_table import ACTIONS, KEYS, action_names
from rlbench.play.reel import Reel
from rlbench.play.webp import LARGEST, Pictures
from rlbench.rng import episode_seed
from rlbench.trained.explain import insight, returns_that_followed
from rlbench.trained.recording import choose, open_recording
from rlbench.training import train as training

HOSTILE = "</script><img src=x onerror=alert(1)>&\"'<b>"


class Continuous(Drawn):
    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)


class Silent(Blind):
    """Allows its second action alone, and says nothing more with an episode's last observation."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        return super().reset(seed=seed)[0], {"action_mask": np.array([0, 1], np.int8)}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict]:
        obs, reward, over, _, _ = super().step(action)
        return obs, reward, over, False, {} if over else {"action_mask": np.array([0, 1], np.int8)}


class Odd(Learner):
    """Says what the test wants it to say."""

    says: Any = None

    def __init__(self, spec: Any, config: Any, rng: Any) -> None: ...

    def act(self, obs: Any, *, explore: bool) -> Any:
        return torch.zeros(len(obs), dtype=torch.int64)

    def observe(self, transition: Any) -> None: ...

    def update(self) -> dict[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Any) -> None: ...

    def explain(self, obs: Any) -> Any:
        return Odd.says(obs)


_registered = registering(
    {"page/Drawn-v0": Drawn, "page/Blind-v0": Blind, "page/Continuous-v0": Continuous, "page/Silent-v0": Silent}
)


def trained_on(env_id: str, folder: Path, **keys: Any) -> Path:
    keys = {"seeds": 2, "total_steps": 60, "eval_every": 0, "eval_episodes": 2, "final_eval_episodes": 2, **keys}
    return training.train(env_id, out=folder, **keys).folder


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_on("CartPole-v1", tmp_path_factory.mktemp("runs") / "cartpole", total_steps=600, num_envs=1)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory, _registered: None) -> Path:
    return trained_on("page/Drawn-v0", tmp_path_factory.mktemp("runs") / "drawn")


class Page(HTMLParser):
    """A page taken apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.data = json.loads(self.inside["application/json"])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(dict(attrs).get("type") or tag)

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open:
            self.inside[self._open[-1]] = self.inside.get(self._open[-1], "") + data


def picture(uri: str) -> np.ndarray:
    head, _, data = uri.partition(",")
    assert head == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_the_page_says_what_happened(cartpole: Path, tmp_path: Path) -> None:
    """Pictures, rewards and Q-values are those of an environment that is stepped anew with the page's actions."""
    path = tmp_path / "deep" / "out.html"
    said = succeeds("play", cartpole, "--seed", 1, "--episodes", 2, "--html", path).splitlines()
    page = Page(path.read_text(encoding="utf-8"))
    one = package.load(cartpole, seed=1)
    assert page.data["actions"] == ["left", "right"]
    assert (page.data["env"], page.data["speed"]) == ("CartPole-v1", 1.0)
    assert len(page.data["reels"]) == 2
    for k, told in enumerate(page.data["reels"]):
        env = one.maker(render_mode="rgb_array")
        obs, _ = env.reset(seed=episode_seed(1, "evaluate", k, 0))
        frames, q_values, rewards = [env.render()], [], []
        for action in told["actions"]:
            q = one.agent.q_net.forward(torch.from_numpy(obs)[None, None])[0, 0]  # type: ignore[attr-defined]
            q_values.append(q.tolist())
            obs, reward, terminated, truncated, _ = env.step(action)
            frames.append(env.render())
            rewards.append(float(reward))
        env.close()
        length = len(rewards)
        assert terminated or truncated
        assert said[k] == f"seed 1  episode {k + 1}  return {number(sum(rewards))}  length {length}"
        assert told["rewards"] == rewards
        assert len(told["shown"]) == length + 1
        assert all(np.array_equal(picture(told["pictures"][i]), frames[t]) for t, i in enumerate(told["shown"]))
        np.testing.assert_allclose(told["q"], q_values, rtol=2e-5, atol=1e-6)
        assert [int(np.argmax(q)) for q in told["q"]] == told["actions"]  # greedy
        assert told["values"] == [max(q) for q in told["q"]]
        assert told["valued"] == "largest Q-value"
        gamma = told["gamma"]
        brute = [sum(gamma**i * r for i, r in enumerate(rewards[t:])) for t in range(length)]
        np.testing.assert_allclose(told["followed"], brute, rtol=1e-5)
        assert told["ending"] == ("terminated" if terminated else "cut by the time limit")
        assert "best.pth of seed 1" in told["notes"][0]
    assert re.fullmatch(rf"mean return .*; {re.escape(str(path))}: \d+ pictures, \d+ KiB", said[-1])


def test_nothing_comes_from_outside(cartpole: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.html"
    succeeds("play", cartpole, "--episodes", 1, "--html", path)
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert {tag for tag, _ in page.tags} >= {"section", "noscript", "script", "style", "main"}
    for tag, attrs in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        assert not any(name.startswith("on") for name in attrs)
        for name in ("src", "href", "srcset", "action", "data"):
            assert (attrs.get(name) or "data:").startswith("data:")
    assert "url(" not in page.inside["style"]
    assert "@import" not in page.inside["style"]
    for word in ("fetch(", "XMLHttpRequest", "import(", "innerHTML", "eval(", "document.write", "https:"):
        assert word not in page.inside["script"]
    (policy,) = [a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert "default-src 'none'" in policy
    digest = base64.b64encode(hashlib.sha256(page.inside["script"].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert text.count("<section") == 1


def made(**more: Any) -> Reel:
    how: dict[str, Any] = {
        "title": "t", "notes": ("n",), "ending": "terminated", "fps": 10.0, "size": (0, 0), "pictures": [],
        "shown": [], "actions": [0, 1], "rewards": [1.0, 2.0],
    }  # fmt: skip
    return Reel(**{**how, **more})


def test_hostile_names_stay_text() -> None:
    one = made(title=HOSTILE, notes=(HOSTILE,), ending=HOSTILE, valued=HOSTILE)
    text = player.page([one], HOSTILE, HOSTILE, HOSTILE)
    page = Page(text)
    assert page.inside["h1"] == page.inside["title"] == HOSTILE
    assert page.data["env"] == page.data["reels"][0]["title"] == HOSTILE
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert "img" not in [tag for tag, _ in page.tags]
    assert "onerror=alert(1)>" not in text.replace("onerror=alert(1)&gt;", "").replace(
        json.dumps(HOSTILE).replace("<", "\\u003c")[1:-1], ""
    )


def test_numbers_that_are_none_do_not_break_the_page() -> None:
    assert returns_that_followed([1.0, float("nan")], 0.5) == [None, None]
    assert returns_that_followed([1.0, 2.0, 4.0], 0.5) == [3.0, 4.0, 4.0]
    with pytest.raises(ValueError, match="JSON"):
        player.section([made(rewards=[float("nan"), 1.0])], "E")
    assert Page(player.section([made(rewards=[None, 1.0])], "E")).data["reels"][0]["rewards"] == [None, 1.0]


@pytest.mark.parametrize(("speed", "said"), [("max", "max"), ("0.5", 0.5), ("3", 3.0)])
def test_speed(drawn: Path, tmp_path: Path, speed: str, said: Any) -> None:
    succeeds("play", drawn, "--episodes", 1, "--html", tmp_path / "a.html", "--speed", speed)
    page = Page((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert page.data["speed"] == said
    assert page.data["reels"][0]["fps"] == Drawn.metadata["render_fps"]


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "1e9", "fast", ""])
def test_no_such_speed(speed: str) -> None:
    assert "neither a number above 0 and up to 1000, nor max" in mistake("play", "x", "--speed", speed)


def test_an_agent_without_q_values_and_continuous_actions(tmp_path: Path) -> None:
    run = trained_on("page/Continuous-v0", tmp_path / "run", agent="random")
    succeeds("play", run, "--episodes", 1, "--html", tmp_path / "a.html")
    (told,) = Page((tmp_path / "a.html").read_text(encoding="utf-8")).data["reels"]
    assert (told["q"], told["values"], told["followed"]) == (None, None, None)
    assert np.shape(told["actions"]) == (len(told["rewards"]), 2)
    assert np.ptp(told["actions"]) > 0
    assert "no Q-values" in told["notes"][1]
    succeeds("play", run, "--episode", "0", "--html", tmp_path / "b.html")
    (again,) = Page((tmp_path / "b.html").read_text(encoding="utf-8")).data["reels"]
    assert np.shape(again["actions"]) == (len(again["rewards"]), 2)


def test_an_environment_without_pictures(tmp_path: Path) -> None:
    run = trained_on("page/Blind-v0", tmp_path / "run")
    for way in (("--episodes", 1), ("--episode", "first")):
        succeeds("play", run, *way, "--html", tmp_path / "a.html")
        (told,) = Page((tmp_path / "a.html").read_text(encoding="utf-8")).data["reels"]
        assert told["pictures"] == told["shown"] == []
        assert len(told["q"]) == len(told["rewards"]) > 2


def test_an_environment_that_says_nothing_in_the_end(tmp_path: Path) -> None:
    run = trained_on("page/Silent-v0", tmp_path / "run")
    one, recording = package.load(run, seed=0), open_recording(run)
    for told in (*reel.reels(one, 1), *reel.training_reels(recording, choose(recording, "first"), one)):
        assert told.actions == [1] * len(told.rewards)
        assert told.q_values is not None
        assert all(q[0] is None and q[1] is not None for q in told.q_values)
        assert not any(told.other or ())


def test_episodes_of_training(cartpole: Path, tmp_path: Path) -> None:
    """Actions are those of the journal, Q-values those of the loaded weights, and the page says so."""
    path = tmp_path / "a.html"
    succeeds("play", cartpole, "--episode", "first,best", "--seed", 0, "--html", path)
    page = Page(path.read_text(encoding="utf-8"))
    recording = open_recording(cartpole)
    chosen = choose(recording, "first,best", 0)
    one = package.load(cartpole, seed=0)
    for told, (entry, words) in zip(page.data["reels"], chosen, strict=True):
        env = one.maker()
        obs, _ = env.reset(seed=entry.reset_seed)
        q_values = []
        for action in told["actions"]:
            q_values.append(one.agent.q_net.forward(torch.from_numpy(obs)[None, None])[0, 0].tolist())  # type: ignore[attr-defined]
            obs, _, _, _, _ = env.step(action)
        env.close()
        np.testing.assert_allclose(told["q"], q_values, rtol=2e-5, atol=1e-6)
        assert told["other"] == [int(np.argmax(q)) != a for q, a in zip(told["q"], told["actions"], strict=True)]
        assert sum(told["rewards"]) == entry.episode_return
        assert len(told["shown"]) == entry.episode_length + 1
        assert f"({words})" in told["title"]
        assert "The weights that acted then were not kept: all estimates are those of best.pth" in told["notes"][0]
    assert any(page.data["reels"][0]["other"])  # it explored


def test_episodes_of_training_without_weights(cartpole: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(cartpole, tmp_path / "run"))
    for name in ("best.pth", "checkpoint.pth"):
        (run / name).unlink()
    result = rlbench("play", run, "--episode", "first", "--html", tmp_path / "a.html")
    assert result.exit_code == 0
    assert "no Q-values" in result.stderr
    assert "holds no checkpoint" in result.stderr
    (told,) = Page((tmp_path / "a.html").read_text(encoding="utf-8")).data["reels"]
    assert told["q"] is None
    assert len(told["pictures"]) > 5
    assert "no others could be loaded" in told["notes"][0]


def test_looking_leaves_no_trace(cartpole: Path) -> None:
    one = package.load(cartpole, seed=0)
    before = json.dumps([str(one.agent.state_dict()), str(one.parts.streams.state_dict())])
    reel.reels(one, 1)
    assert json.dumps([str(one.agent.state_dict()), str(one.parts.streams.state_dict())]) == before


def test_what_an_agent_of_ones_own_says(drawn: Path, tmp_path: Path) -> None:
    run = trained_on("page/Drawn-v0", tmp_path / "run", agent=Odd)
    one = package.load(run, seed=0, agent=Odd)
    Odd.says = lambda obs: {"value": obs[:, 0] + 7}
    (told,) = reel.reels(one, 1)
    assert told.values == [7.0] * len(told.rewards)
    assert told.valued == "the agent's estimate"
    assert told.q_values is told.followed is None
    Odd.says = lambda obs: {"q_values": torch.full((len(obs), 2), float("nan"))}
    (told,) = reel.reels(one, 1)
    assert told.q_values == [[None, None]] * len(told.rewards)
    assert told.values is None
    Page(player.section([told], "E"))
    for says, wrong in (
        (lambda obs: {"q_values": torch.zeros(3)}, "shape"),
        (lambda obs: {"value": torch.zeros(len(obs), 2)}, r"value of shape \(1, 10, 2\), expected \(1, 10\)"),
    ):
        Odd.says = says
        with pytest.raises(AgentError, match=wrong):
            reel.reels(one, 1)


def test_a_policy_that_draws_its_actions_is_told(drawn: Path, tmp_path: Path) -> None:
    run = trained_on("page/Drawn-v0", tmp_path / "run", agent=Odd)
    one = package.load(run, seed=0, agent=Odd)
    Odd.says = lambda obs: {"probabilities": torch.tensor([0.25, 0.75]).expand(len(obs), 2)}
    (told,) = reel.reels(one, 1)
    assert told.probabilities == [[0.25, 0.75]] * len(told.rewards)
    assert told.q_values is told.values is told.means is told.stds is None
    assert not any("tells no" in note for note in told.notes)
    recording = open_recording(run)
    (trained,) = reel.training_reels(recording, choose(recording, "first"), one)
    assert trained.other == [action != 1 for action in trained.actions]
    shown = Page(player.section([told], "E")).data["reels"][0]
    assert shown["probabilities"] == told.probabilities
    Odd.says = lambda obs: {"mean": torch.tensor([1.0, -2.0]).expand(len(obs), 2), "std": torch.ones(len(obs), 2)}
    (told,) = reel.reels(one, 1)
    assert (told.means, told.stds) == ([[1.0, -2.0]] * len(told.rewards), [[1.0, 1.0]] * len(told.rewards))
    shown = Page(player.section([told], "E")).data["reels"][0]
    assert (shown["means"], shown["stds"]) == (told.means, told.stds)
    Odd.says = lambda obs: {"value": torch.full((len(obs),), 3)}  # a whole number is a number
    (told,) = reel.reels(one, 1)
    assert told.values == [3.0] * len(told.rewards)


@pytest.mark.parametrize(
    ("says", "wrong"),
    [
        ({"probabilities": torch.ones(1, 1)}, r"probabilities of shape \(1, 1\), expected \(1, 1\) and the actions"),
        ({"mean": torch.ones(1, 2, 3)}, r"mean of shape .* and the dimensions of an action"),
        ({"mean": torch.ones(1, 1, 3), "std": torch.ones(1, 1, 2)}, "gave 3 means and 2 std"),
    ],
)
def test_what_no_policy_may_say(says: Any, wrong: str) -> None:
    test_what_no_agent_may_say(says, wrong)


@pytest.mark.parametrize(
    ("says", "wrong"), [([1.0], "gave a list"), ({"value": 3.0}, "value of type float"), (None, "gave a NoneType")]
)
def test_what_no_agent_may_say(says: Any, wrong: str) -> None:
    class Says:
        def explain(self, obs: Any) -> Any:
            return says

    with pytest.raises(AgentError, match=wrong):
        insight(Says(), torch.zeros(1, 1, 4))  # type: ignore[arg-type]


def noise(rng: np.random.Generator, height: int = 40, width: int = 60) -> np.ndarray:
    return rng.integers(0, 255, (height, width, 3), np.uint8)


def test_pictures_within_a_budget() -> None:
    """Every second one goes where they outgrow it, the first and the last stay."""
    rng = np.random.default_rng(0)
    frames = [noise(rng) for _ in range(50)]
    whole = Pictures(10**9)
    for frame in frames:
        whole.add(frame)
    uris, shown = whole.done()
    assert (whole.every, shown) == (1, list(range(50)))
    assert all(np.array_equal(picture(uri), frame) for uri, frame in zip(uris, frames, strict=True))
    small = Pictures(sum(map(len, uris)) // 8)
    for frame in frames:
        small.add(frame)
    fewer, shown = small.done()
    assert small.every == 8
    assert sum(map(len, fewer)) < sum(map(len, uris)) // 8 * 1.4 + len(uris[0])
    assert shown == [t // 8 for t in range(49)] + [7]
    assert np.array_equal(picture(fewer[-1]), frames[-1])
    assert all(np.array_equal(picture(uri), frames[8 * i]) for i, uri in enumerate(fewer[:-1]))
    none = Pictures(1)
    for frame in frames[:3]:
        none.add(frame)
    assert none.done()[1] == [0, 0, 1]
    assert Pictures(1).done() == ([], [])


def test_equal_pictures_are_kept_once_and_large_ones_shrunk() -> None:
    rng = np.random.default_rng(0)
    a, b = noise(rng), noise(rng)
    pictures = Pictures(10**9)
    for frame in (a, a, b, b, a):
        pictures.add(frame)
    uris, shown = pictures.done()
    assert shown == [0, 0, 1, 1, 2]
    assert len(uris) == 3
    large = Pictures(10**9)
    large.add(np.zeros((900, 1600, 3), np.uint8))
    assert large.size == (LARGEST, 360)
    photo = noise(rng, 300, 400)
    large.add(photo)
    uris, _ = large.done()
    assert len(uris[1]) < photo.size * 0.6  # base64 of what is lossy; without loss it is 1.33 of it


def test_a_page_that_was_thinned_says_so(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reel, "BUDGET", 100)
    (told,) = reel.reels(package.load(drawn, seed=0), 1)
    assert "would make the file too large" in told.notes[-1]
    assert len(told.shown) == len(told.rewards) + 1


def test_requests_that_do_not_fit(drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.html").mkdir()
    for args, says in (
        (["--html", "a.html", "--video", "a.gif"], "give one of the two"),
        (["--html", "a.html", "--no-render"], "give one of the two"),
        (["--html", "a.html", "--human"], "give one of the two"),
        (["--html", "a.gif"], "--html out.html"),
        (["--html", "a.html", "--episodes", "101"], "up to 100 episodes"),
    ):
        assert says in mistake("play", drawn, *args)
    assert "--html out.html" in mistake("play", drawn, "--episode", "first", "--html", "a.txt")
    result = rlbench("play", drawn, "--episodes", 1, "--html", tmp_path / "folder.html")
    assert result.exit_code == 1
    assert "cannot write" in result.stderr
    assert "--html FILE" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["folder.html"]
    with pytest.raises(UsageError, match="one seed"):
        reel.reels(package.load(drawn), 1)


def test_names_of_actions_fit_their_environments() -> None:
    for name, actions in ACTIONS.items():
        versions = [i for i in gym.registry if i.rpartition("-v")[0] == name]
        assert versions or name == "LunarLander", name
        if versions:
            space = gym.make(versions[-1]).action_space
            assert isinstance(space, gym.spaces.Discrete)
            assert len(actions) == space.n, name
    assert action_names("CartPole-v1", 2) == ("left", "right")
    assert action_names("CartPole-v1", 3) == action_names("Nobody-v0", 2) == ()
    assert set(KEYS) <= {i.rpartition("-v")[0] for i in gym.registry}


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


TEXT = "document.querySelector('.rlb-player').innerText"
STEP = "Number(document.querySelector('input[type=range]').value)"


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize(("width", "dark"), [(1200, False), (375, True)])
def test_in_a_browser(cartpole: Path, tmp_path: Path, tab: Browser, width: int, dark: bool) -> None:
    """Scrubbed by the address, the keyboard, the slider and the timeline, it shows that step's picture and numbers."""
    path = tmp_path / "a.html"
    succeeds("play", cartpole, "--episodes", 2, "--html", path)
    data = Page(path.read_text(encoding="utf-8")).data["reels"]
    length = len(data[1]["rewards"])
    tab.errors.clear()
    tab.requests.clear()
    tab.open(path, "#e=2&t=5", width=width, dark=dark)
    tab.wait("document.querySelector('[data-ready]')")

    def shows(t: int) -> None:
        assert tab.js(STEP) == t
        tab.wait(f"document.querySelector('.stage canvas').dataset.picture == {data[1]['shown'][t]}")
        facts = tab.js("[...document.querySelectorAll('.facts dd')].map((x) => x.textContent)")
        assert facts[:2] == [f"{t} / {length}", str(t)]  # CartPole: a reward of 1 each step
        assert tab.js("location.hash") == f"#e=2&t={t}"
        cursor = tab.js("parseFloat(document.querySelector('.cursor').style.left)")
        assert cursor == pytest.approx(100 * t / length, abs=0.01)
        bars = tab.js("[...document.querySelectorAll('.bars .number')].map((x) => parseFloat(x.textContent))")
        if t < length:
            assert bars == pytest.approx(data[1]["q"][t], rel=2e-2, abs=2e-3)
            taken = tab.js("document.querySelector('.bars .taken').textContent")
            assert taken == ("left", "right")[data[1]["actions"][t]]

    shows(5)
    tab.press("ArrowRight")
    shows(6)
    tab.press("ArrowLeft")
    tab.press("ArrowLeft")
    shows(4)
    tab.press("End")
    shows(length)
    assert "The episode is over" in tab.js(TEXT)
    tab.press("Home")
    shows(0)
    left, top, wide = tab.js(
        "(() => { const plot = document.querySelector('.plot'); plot.scrollIntoView({block: 'center'});"
        "const r = plot.getBoundingClientRect(); return [r.left, r.top, r.width]; })()"
    )
    tab.click(left + wide * (7.5 / length), top + 20)
    shows(7)
    tab.js("document.activeElement.blur()")
    tab.press(" ")  # plays to the end
    tab.wait(f"{STEP} == {length}")
    shows(length)
    assert tab.js("document.documentElement.scrollWidth") <= width
    assert tab.errors == []
    assert [url for url in tab.requests if not url.startswith(("data:", "file:", "about:"))] == []
    assert tab.js("getComputedStyle(document.body).backgroundColor") == (
        "rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)"
    )


@pytest.mark.slow
@needs_chromium
def test_policies_in_a_browser(tmp_path: Path, tab: Browser) -> None:
    """Probabilities as bars of their own size, means with their spread; nothing of the one in the other's episode."""
    tab.errors.clear()
    path = tmp_path / "a.html"
    drawing = made(probabilities=[[0.25, 0.75], [1.0, 0.0]])
    both = made(q_values=[[1.0, 2.0], [3.0, 4.0]], probabilities=[[0.5, 0.5], [0.1, 0.9]])
    smooth = made(actions=[[0.5, 0.0], [1.0, 0.0]], means=[[0.0, 1.0], [2.0, None]], stds=[[1.0, 0.5], [0.0, 1.0]])
    path.write_text(player.page([drawing, both, smooth], "E", "t"), encoding="utf-8")
    tab.open(path)
    tab.wait("document.querySelector('[data-ready]')")

    def bars(kind: str) -> list[tuple[str, str, str]]:
        found: Any = tab.js(
            f"[...document.querySelectorAll('.bars.{kind} .track i')].map((x) => [x.style.marginLeft, x.style.width, "
            "x.parentNode.nextSibling.textContent])"
        )
        return [tuple(one) for one in found]

    assert bars("probabilities") == [("0%", "25%", "0.25"), ("0%", "75%", "0.75")]
    assert tab.js("document.querySelector('.bars .taken').textContent") == "action 0"
    assert "Probabilities here" in tab.js(TEXT)
    assert "Action probabilities" in tab.js(TEXT)
    assert "of the action taken 0.25" in tab.js(TEXT)
    tab.press("ArrowRight")
    assert bars("probabilities") == [("0%", "100%", "1.00"), ("0%", "0%", "0.00")]
    tab.press("ArrowDown")
    assert [text for *_, text in bars("q")] == ["1", "2"]
    assert [text for *_, text in bars("probabilities")] == ["0.50", "0.50"]
    assert "Q-values here" in tab.js(TEXT)
    tab.press("ArrowDown")
    (from_a, wide_a, text_a), (_, _, text_b) = bars("means")  # -1 to 1, and 0.5 to 1.5, of -1 to 2
    assert (from_a, text_a, text_b) == ("0%", "0 ± 1", "1 ± 0.5")
    assert float(wide_a.rstrip("%")) == pytest.approx(200 / 3, rel=1e-3)
    assert tab.js("document.querySelectorAll('path.band').length") == 2
    assert "NaN" not in tab.js("document.querySelector('.lines').innerHTML")
    tab.press("ArrowRight")
    assert [text for *_, text in bars("means")] == ["2 ± 0", "–"]
    tab.press("End")
    assert [text for *_, text in bars("means")] == ["", ""]
    assert tab.errors == []


@pytest.mark.slow
@needs_chromium
def test_hostile_names_in_a_browser(tmp_path: Path, tab: Browser) -> None:
    tab.errors.clear()
    path = tmp_path / "a.html"
    many = made(title=HOSTILE, notes=(HOSTILE,), q_values=[[float(a) for a in range(30)]] * 2, actions=[29, 3])
    path.write_text(player.page([many, made(actions=[[0.5], [None]])], HOSTILE, HOSTILE), encoding="utf-8")
    tab.open(path)
    tab.wait("document.querySelector('[data-ready]')")
    assert HOSTILE in tab.js("document.querySelector('.note').textContent")
    assert tab.js("document.querySelectorAll('img').length") == 0
    assert "No pictures" in tab.js(TEXT)
    tab.press("ArrowDown")
    assert tab.js("document.querySelector('select').value") == "1"
    assert tab.errors == []
