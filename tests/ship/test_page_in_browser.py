"""A page of `rlbench export --to html` in a browser: the policy plays, is pushed, and says what it thinks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Browser, browser, needs_chromium
from plainjs import BALANCE, FILES, greedy, saved

from rlbench.policyfile.opened import PolicyFile, open_policy
from rlbench.ship.page import page, worlds
from rlbench.ship.plain_graph import plain_graph

pytestmark = [pytest.mark.slow, needs_chromium]

SHOW = "document.querySelector('.rlb-agent').show"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


def opened(tab: Browser, folder: Path, content: bytes, **how: Any) -> PolicyFile:
    policy = open_policy(saved(folder / "policy.onnx", content))
    text = page(plain_graph(content, policy.metadata), policy.metadata, 0 if "Catch" in policy.metadata.env else 500)
    (folder / "look.html").write_text(text, encoding="utf-8")
    tab.errors.clear()
    tab.requests.clear()
    tab.open(folder / "look.html", **how)
    tab.wait(f"{SHOW}?.answer")
    return policy


def quiet(tab: Browser) -> None:
    """It said nothing of an error, and asked nobody for anything."""
    assert tab.errors == []
    assert [url for url in tab.requests if not url.startswith(("data:", "file:", "about:"))] == []


def colors(tab: Browser) -> int:
    return int(tab.js(
        "(() => { const c = document.querySelector('.stage canvas'), pen = c.getContext('2d'), "
        "d = pen.getImageData(0, 0, c.width, c.height).data; return new Set(new Uint32Array(d.buffer)).size; })()"
    ))  # fmt: skip


@pytest.mark.parametrize(("width", "dark"), [(1120, False), (375, True)])
def test_a_page_plays_upright_for_500_steps(tab: Browser, tmp_path: Path, width: int, dark: bool) -> None:
    policy = opened(tab, tmp_path, greedy("CartPole-v1", BALANCE), width=width, dark=dark)
    for seed in range(3):
        done = tab.js(f"{SHOW}.episode({seed})")
        assert (done["return"], done["steps"]) == (500, 500)
        seen = np.array(done["seen"], np.float32)
        assert done["actions"] == policy({"obs": seen})["action"].tolist()
    assert "Time is up: return 500" in tab.js("document.querySelector('.badge').textContent")
    assert tab.js("[...document.querySelectorAll('.facts dd')].map((x) => x.textContent)") == [
        "500",
        "500 / 500",
        "3 seed 2",
    ]
    assert colors(tab) > 20
    assert tab.js("document.documentElement.scrollWidth") <= width
    background = "rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)"
    assert tab.js("getComputedStyle(document.body).backgroundColor") == background
    quiet(tab)


def test_the_viewer_pushes_steps_and_begins_anew(tab: Browser, tmp_path: Path) -> None:
    policy = opened(tab, tmp_path, greedy("CartPole-v1", BALANCE))
    tab.js("document.activeElement.blur()")
    tab.press(".")
    tab.wait(f"{SHOW}.step == 1")
    numbers = tab.js("[...document.querySelectorAll('.bars .number')].map((x) => parseFloat(x.textContent))")
    seen = np.array([tab.js(f"{SHOW}.world.see({SHOW}.state)")], np.float32)
    assert numbers == pytest.approx(policy({"obs": seen})["q_values"][0].tolist(), rel=1e-3)
    taken = tab.js("document.querySelector('.bars .taken').textContent")
    assert taken == ("left", "right")[int(policy({"obs": seen})["action"][0])]
    assert not tab.js(f"{SHOW}.pushed")
    tab._call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight")  # held; it plays meanwhile
    tab.wait(f"{SHOW}.pushed && {SHOW}.state[0] != 0")
    tab._call("Input.dispatchKeyEvent", type="keyUp", key="ArrowRight")
    assert tab.js(f"{SHOW}.push") == 0
    tab.wait("document.querySelector('.badge').textContent.includes('You pushed it')")
    tab.press(" ")
    assert not tab.js(f"{SHOW}.playing")
    tab.press("r")
    tab.wait(f"{SHOW}.seed == 1 && {SHOW}.step == 0")
    assert not tab.js(f"{SHOW}.pushed")
    tab.js(f"[...document.querySelectorAll('.speeds button')].at(-1).click(), {SHOW}.start()")
    tab.wait(f"{SHOW}.returns.length >= 2")
    assert tab.js(f"{SHOW}.returns.at(-1)") == [500, False]
    quiet(tab)


@pytest.mark.parametrize("env_id", worlds())
def test_each_world_is_drawn_and_played_as_its_policy_says(env_id: str, tab: Browser, tmp_path: Path) -> None:
    policy = opened(tab, tmp_path, FILES[env_id]())
    done = tab.js(f"{SHOW}.episode(1)")
    assert done["steps"] == len(done["actions"]) > 0
    assert colors(tab) > 20
    if not policy.metadata.recurrent:
        port = policy.metadata.inputs[0]
        seen = np.array(done["seen"]).astype(port.dtype).reshape(-1, *port.shape)
        assert done["actions"] == policy({"obs": seen})["action"].tolist()
    tab.js(f"{SHOW}.begin(2).then(() => {{ {SHOW}.push = 1; return {SHOW}.once(); }}).then(() => {SHOW}.render())")
    tab.wait(f"{SHOW}.pushed")
    quiet(tab)
