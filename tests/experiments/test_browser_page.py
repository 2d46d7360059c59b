"""The page of experiments/browser: exported policies played by ONNX Runtime Web, packed so that it needs no network."""

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest
from browser import Browser, browser, needs_chromium
from plainjs import BALANCE, FILES, greedy, onnx, saved
from rlbench.experiments.browser import pack

from rlbench.api.train import train
from rlbench.errors import RlbenchError, UsageError
from rlbench.policyfile.opened import PolicyFile, open_policy
from rlbench.ship.export import export
from rlbench.trained.load import load

ROOT = Path(__file__).resolve().parents[2]
SHOW = "document.querySelector('.rlb-agent').show"
LANDER = np.random.default_rng(3).normal(size=(8, 4)).astype(np.float32)


class Site(NamedTuple):
    folder: Path
    url: str
    tab: Browser


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def packages() -> Path:
    """What the page needs of npm, in the checkout's build folder."""
    folder = ROOT / "build" / "browser" / "packages"
    try:
        for package in pack.PACKAGES:
            pack.fetch(package, folder)
    except RlbenchError as e:
        pytest.skip(f"needs npm and its packages: {e}")
    return folder


@pytest.fixture(scope="module")
def site(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The page with two policies, served and open."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(packages, folder / "packages")
    policies = [
        saved(folder.parent / "cartpole.onnx", greedy("CartPole-v1", BALANCE)),
        saved(folder.parent / "lander.onnx", greedy("LunarLander-v3", LANDER)),
    ]
    pack.pack(policies, folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Silent, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield Site(folder, f"http://127.0.0.1:{server.server_port}/", tab)
    server.shutdown()
    server.server_close()


def opened(site: Site, name: str, **how: Any) -> None:
    site.tab.errors.clear()
    site.tab.requests.clear()
    site.tab.open(site.url, **how)
    site.tab.wait("window.policy")
    site.tab.js(f"[...document.querySelectorAll('button.chip')].find((x) => x.textContent == '{name}').click()")
    site.tab.wait(f"policy.name == '{name}.onnx' && {SHOW}.answer")


def quiet(site: Site) -> None:
    assert site.tab.errors == []
    assert [url for url in site.tab.requests if not url.startswith((site.url, "data:", "about:", "blob:"))] == []


def drop(tab: Browser, content: bytes, name: str) -> None:
    """As if somebody dragged a file onto the page."""
    tab.js(
        "(() => { const data = new DataTransfer();"
        f"data.items.add(new File([new Uint8Array({list(content)})], '{name}'));"
        "dispatchEvent(new DragEvent('drop', { dataTransfer: data, cancelable: true })); })()"
    )


def message(tab: Browser, words: str) -> str:
    tab.wait(f"document.getElementById('message').textContent.includes({words!r})")
    return str(tab.js("document.getElementById('message').textContent"))


def score(policy: PolicyFile, env_id: str, seed: int) -> float:
    """The return of an episode in Gymnasium."""
    env = gym.make(env_id)
    obs, _ = env.reset(seed=seed)
    policy.begin()
    total, over = 0.0, False
    while not over:
        obs, reward, terminated, truncated, _ = env.step(policy.act(obs))
        total, over = total + float(reward), terminated or truncated
    return total


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize(("width", "dark"), [(1120, False), (375, True)])
def test_cartpole_stands_for_500_steps_by_onnx_runtime_web(site: Site, width: int, dark: bool) -> None:
    opened(site, "cartpole", width=width, dark=dark)
    policy = open_policy(site.folder / "policies" / "cartpole.onnx")
    for seed in range(2):
        done = site.tab.js(f"{SHOW}.episode({seed})")
        assert done["return"] == 500
        assert done["actions"] == policy({"obs": np.array(done["seen"], np.float32)})["action"].tolist()
    assert "CartPole-v1" in site.tab.js("document.getElementById('about').innerText")
    assert site.tab.js("document.documentElement.scrollWidth") <= width
    quiet(site)


@pytest.mark.slow
@needs_chromium
def test_lunar_lander_begins_as_gymnasiums_and_does_what_the_file_says(site: Site) -> None:
    pytest.importorskip("Box2D")
    opened(site, "lander")
    policy = open_policy(site.folder / "policies" / "lander.onnx")
    env = gym.make("LunarLander-v3")
    for seed in range(3):
        done = site.tab.js(f"{SHOW}.episode({seed})")
        seen = np.array(done["seen"], np.float32)
        assert done["actions"] == policy({"obs": seen})["action"].tolist()
        obs, _ = env.reset(seed=seed)
        for t, action in enumerate(done["actions"][:10]):  # float32 there, float64 here: they part slowly
            np.testing.assert_allclose(seen[t], obs, atol=1e-5 if t == 0 else 1e-3)
            obs, *_ = env.step(action)
        assert done["return"] < 0  # of random weights
    quiet(site)


@pytest.mark.slow
@needs_chromium
def test_a_trained_policy_scores_in_the_browser_what_it_scores_in_gymnasium(site: Site, tmp_path: Path) -> None:
    keys = {"seeds": 3, "total_steps": 15_000, "final_eval_episodes": 5}
    train("CartPole-v1", out=tmp_path / "run", progress="none", **keys)
    trained = load(tmp_path / "run", seed="best", device="cpu")
    file = open_policy(export(trained, "onnx", tmp_path / "trained.onnx", episodes=3).path)
    opened(site, "cartpole")
    drop(site.tab, (tmp_path / "trained.onnx").read_bytes(), "trained.onnx")
    site.tab.wait(f"policy.name == 'trained.onnx' && {SHOW}.policy == policy && {SHOW}.answer")
    scores = []
    for seed in range(5):  # whole trajectories part: of the last places of sines, and then by an action
        done = site.tab.js(f"{SHOW}.episode({seed})")
        answers = file({"obs": np.array(done["seen"], np.float32)})
        other = answers["action"] != done["actions"]  # of two Q-values that are the same but for rounding
        assert np.ptp(answers["q_values"][other], axis=1).max(initial=0) < 1e-4
        assert other.sum() < 5
        scores.append((done["return"], score(file, "CartPole-v1", seed)))
    assert max(here for here, _ in scores) == max(there for _, there in scores) == 500
    quiet(site)


@pytest.mark.slow
@needs_chromium
def test_files_that_do_not_fit_are_told_why(site: Site) -> None:
    opened(site, "cartpole")
    tab = site.tab
    drop(tab, b"nothing of the kind", "a.onnx")
    message(tab, "a.onnx is no ONNX file, or damaged.")
    drop(tab, b"x", "notes.txt")
    message(tab, "notes.txt is no .onnx file. Export a run: rlbench export RUN --to onnx")
    foreign = onnx.load_from_string(greedy("CartPole-v1", BALANCE))
    del foreign.metadata_props[:]
    drop(tab, foreign.SerializeToString(), "b.onnx")
    message(tab, "b.onnx says nothing of rlbench. Export a run: rlbench export RUN --to onnx --out b.onnx")
    drop(tab, greedy("Taxi-v4", BALANCE), "c.onnx")
    assert "It has CartPole-v1, MountainCar-v0" in message(
        tab, "c.onnx plays Taxi-v4, of which this page has no physics."
    )
    drop(tab, greedy("CartPole-v1", LANDER), "d.onnx")
    said = message(tab, "d.onnx takes float32 numbers of shape (8,) as observations")
    assert "CartPole-v1 here gives float32 numbers of shape (4,)" in said
    drop(tab, greedy("CartPole-v1", BALANCE.repeat(2, axis=1)), "e.onnx")
    message(tab, "e.onnx chooses among 4 actions, and CartPole-v1 here takes 2 actions.")
    assert tab.js("policy.name") == "cartpole.onnx"  # it plays on
    drop(tab, FILES["Pendulum-v1"](), "swing.onnx")
    tab.wait(f"policy.name == 'swing.onnx' && {SHOW}.env == 'Pendulum-v1'")
    assert tab.js("document.getElementById('message').hidden")
    quiet(site)


@pytest.mark.slow
@needs_chromium
def test_from_a_file_it_says_that_it_needs_a_server(site: Site) -> None:
    site.tab.open(site.folder / "index.html")
    message(site.tab, "python -m http.server")


def test_a_policy_that_no_page_plays_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is no \.onnx file, which is what the page plays"):
        pack.pack([tmp_path / "policy.pt2"], tmp_path / "out")
    one = saved(tmp_path / "a.onnx", greedy("CartPole-v1", BALANCE))
    with pytest.raises(UsageError, match="two policies have one name"):
        pack.pack([one, one], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_package_that_is_not_the_pinned_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = pack.PACKAGES[1]

    def other(wanted: pack.Package, folder: Path) -> Path:
        return saved(folder / "planck.tgz", b"another")

    monkeypatch.setattr(pack, "_downloaded", other)
    with pytest.raises(RlbenchError, match=r"planck 1\.5\.0 is not the one that was pinned: its SHA-512 is"):
        pack.fetch(package, tmp_path / "packages")
    assert list((tmp_path / "packages").iterdir()) == []
    monkeypatch.undo()
    monkeypatch.setattr(pack.shutil, "which", lambda name: None)
    with pytest.raises(RlbenchError, match="this needs npm"):
        pack.fetch(package, tmp_path / "packages")
