"""`rlbench report`: one page, whole and closed, that says what the runs say, and what they cannot."""

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import pytest
from browser import browser, needs_chromium
from command import CARTPOLE, mistake, rlbench, succeeds

from rlbench.errors import RunFolderError, UsageError
from rlbench.judge.comparison import compare
from rlbench.judge.verdict import interval
from rlbench.report.appendix import reproduce
from rlbench.report.charts import inline
from rlbench.report.findings import gather
from rlbench.report.page import write_report
from rlbench.report.reels import LONGEST, env_reels
from rlbench.trained.recording import choose, open_recording

VOID = {"meta", "br", "img", "input", "link"}


class Page(HTMLParser):
    """The page's elements, its text without scripts and styles, and its tables as rows of cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, str] = {}  # of each section
        self.scripts: list[str] = []
        self.rows: dict[str, list[list[str]]] = {}  # of each section
        self._open: list[str] = []
        self._section = "top"
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "section" and dict(attrs).get("id"):
            self._section = str(dict(attrs)["id"])
        if tag == "tr":
            self.rows.setdefault(self._section, []).append([])
        if tag in ("td", "th"):
            self.rows[self._section][-1].append("")
        if tag == "script":
            self.scripts.append("")

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self._open:
            self.scripts[-1] += data
        elif "style" not in self._open:
            self.texts[self._section] = self.texts.get(self._section, "") + data
            if {"td", "th"} & set(self._open):
                self.rows[self._section][-1][-1] += data

    def said(self, section: str) -> str:
        return re.sub(r"\s+", " ", self.texts.get(section, ""))

    @property
    def ids(self) -> list[str]:
        return [attrs["id"] for _, attrs in self.elements if "id" in attrs]

    def tags(self, name: str) -> list[dict[str, str]]:
        return [attrs for tag, attrs in self.elements if tag == name]


def made(out: Path, *args: str | Path) -> Page:
    """The page that `rlbench report ARGS --out out` writes, without what `test_inside_runs` looks at."""
    result = rlbench("report", *args, "--no-inside", "--out", out)
    assert result.exit_code == 0, result.output
    return Page(out.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``a`` and ``b``, of three seeds, explore differently; ``one`` has one seed, ``lake`` another environment."""
    root = tmp_path_factory.mktemp("runs")
    evaluated = ("--set", "eval_every=60", "--set", "eval_episodes=2", "--seeds")
    succeeds(*CARTPOLE, *evaluated, "3", "--out", root / "a")
    succeeds(*CARTPOLE, *evaluated, "3", "--set", "dqn.epsilon_start=0.5", "--out", root / "b")
    succeeds(*CARTPOLE, *evaluated, "1", "--out", root / "one")
    succeeds("train", "--env", "FrozenLake-v1", *CARTPOLE[3:], *evaluated, "2", "--out", root / "lake")
    return root


@pytest.fixture(scope="module")
def page(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return made(tmp_path_factory.mktemp("page") / "report.html", f"base={runs / 'a'}", f"calm={runs / 'b'}")


def copied(runs: Path, name: str, to: Path) -> Path:
    shutil.copytree(runs / name, to)
    return to


def test_it_is_one_file_that_asks_for_nothing(page: Page) -> None:
    allowed = re.compile(r"#|data:")
    for tag, attrs in page.elements:
        for name in ("src", "href", "xlink:href", "data", "action", "poster", "srcset"):
            assert allowed.match(attrs.get(name, "#")), (tag, attrs)
        assert not [name for name in attrs if name.startswith("on")], (tag, attrs)
    assert not page.tags("link")
    assert set(re.findall(r"url\((.)", page.html)) == {"#"}
    assert "@import" not in page.html


def test_its_policy_allows_its_own_scripts_and_nothing_else(page: Page) -> None:
    (policy,) = [attrs["content"] for attrs in page.tags("meta") if "http-equiv" in attrs]
    kinds = [attrs.get("type", "") for attrs in page.tags("script")]
    running = [code for code, kind in zip(page.scripts, kinds, strict=True) if kind != "application/json"]
    assert len(running) == 2
    for code in running:
        assert base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() in policy
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy.replace("http-equiv", "")


def test_ids_are_unique_and_every_reference_finds_its_own(page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))
    wanted = [attrs["href"] for _, attrs in page.elements if attrs.get("href", "").startswith("#")]
    wanted += re.findall(r"url\((#[^)]*)\)", page.html)
    assert len(wanted) > 20
    assert {name.removeprefix("#") for name in wanted} <= set(page.ids)


def test_the_verdict_comes_first_and_is_that_of_compare(page: Page, runs: Path) -> None:
    sections = [attrs["id"] for attrs in page.tags("section") if "id" in attrs]
    parts = ["verdict", "curves", "watch", "numbers", "seeds", "recipe", "setting", "reproduce", "method"]
    assert sections == parts
    found = compare({"base": [runs / "a"], "calm": [runs / "b"]})
    for sentence in (*found.verdicts, *found.differences, *found.warnings):
        assert re.sub(r"\s+", " ", sentence) in page.said("verdict")
    assert found.warnings  # few seeds
    rows = {row[0]: row[1:] for row in page.rows["numbers"]}
    agents, (contrast,) = found.tables[0].agents, found.tables[0].contrasts
    assert rows["IQM of the final return"] == [interval(agent.aggregates.iqm) for agent in agents]
    assert rows["mean"] == [interval(agent.aggregates.mean) for agent in agents]
    assert rows["probability of improvement"] == ["", interval(contrast.difference.improvement, digits=2)]
    assert rows["verdict"] == ["baseline", contrast.outcome]


def test_every_seed_has_a_row_with_the_numbers_of_its_summary(page: Page, runs: Path) -> None:
    head, *rows = page.rows["seeds"]
    assert head[:4] == ["run", "seed", "final", "best"]
    found = {(row[0], row[1]): row for row in rows}
    assert len(found) == 6
    for label, run in (("base", "a"), ("calm", "b")):
        summary = json.loads((runs / run / "summary.json").read_text())
        for seed in ("0", "1", "2"):
            row = found[label, seed]
            for cell, key in ((row[2], "final_eval_return"), (row[3], "best_eval_return")):
                assert float(cell) == pytest.approx(summary[key][seed], abs=0.051)
            assert row[5] == str(summary["env_steps_of_seed"][seed])
            assert row[6] == str(summary["episodes"][seed])
            assert row[7] == "all steps taken"


def test_recipes_differ_in_one_key_and_are_all_there(page: Page, runs: Path) -> None:
    assert page.rows["recipe"] == [["", "base", "calm"], ["dqn.epsilon_start", "1.0", "0.5"]]
    for run in ("a", "b"):
        assert (runs / run / "recipe.toml").read_text() in page.texts["recipe"]


def test_it_says_how_to_repeat_it(page: Page, runs: Path) -> None:
    said = page.said("reproduce")
    about = json.loads((runs / "a" / "run.json").read_text())
    assert f"torch=={about['versions']['torch'].partition('+')[0]}" in said
    assert f"rlbench eval {runs / 'b'}" in said
    assert f"rlbench compare base={runs / 'a'} calm={runs / 'b'}" in said
    facts = {row[0]: row[1] for row in page.rows["setting"]}
    assert facts["environment"] == "CartPole-v1"
    assert f"Python {about['python']}" in facts["versions"]
    assert facts["resumed"].startswith("exact")


def test_pictures_follow_dark_mode_and_have_words(page: Page) -> None:
    pictures = [attrs for attrs in page.tags("svg") if attrs.get("role") == "img"]
    assert len(pictures) == 4  # curves of returns and of evaluations, scores, time to threshold
    assert all(len(attrs["aria-label"]) > 40 for attrs in pictures)
    assert "CartPole-v1" in pictures[0]["aria-label"]
    assert "var(--c0072b2, #0072b2)" in page.html
    assert "base · 3 seeds" in page.said("curves")
    assert "95 % interval" in page.said("curves")


def test_the_player_has_the_first_and_the_best_episode_of_each(page: Page, runs: Path) -> None:
    (data,) = [json.loads(code) for code in page.scripts if code.startswith("{")]
    titles = [reel["title"] for reel in data["reels"]]
    expected = [
        f"{label}: ({one.words})"
        for label, run in (("base", "a"), ("calm", "b"))
        for one in choose(open_recording(runs / run), "first,best")
    ]
    assert [re.sub(r"episode \d+ of seed \d+ ", "", title).partition(": return")[0] for title in titles] == expected
    assert all(reel["pictures"] and reel["q"] for reel in data["reels"])


def test_one_run_is_told_how_good_it_is(runs: Path, tmp_path: Path) -> None:
    page = made(tmp_path / "p.html", runs / "a", "--no-video")
    said = page.said("verdict")
    assert "not solved dqn scores" in said
    assert "below 475, which counts as solved" in said
    assert "0 of 3 [0.00, 0.56]" in said  # Wilson's interval
    assert "with fewer than 10, intervals are unreliable" in said
    assert "watch" not in page.texts
    assert [row[0] for row in page.rows["seeds"]] == ["seed", "0", "1", "2"]


def test_one_seed_has_no_interval_and_the_page_says_so(runs: Path, tmp_path: Path) -> None:
    page = made(tmp_path / "p.html", runs / "one", "--no-video")
    assert "with one seed there is no interval" in page.said("verdict")
    assert not re.search(r"\bnan\b", " ".join(page.texts.values()))


def test_different_environments_stand_side_by_side_without_a_verdict(runs: Path, tmp_path: Path) -> None:
    page = made(tmp_path / "p.html", runs / "a", runs / "lake", "--no-video")
    said = page.said("verdict")
    assert "There is no comparison" in said
    assert "a scores" in said
    assert "lake scores" in said
    assert "better" not in said
    assert len(page.ids) == len(set(page.ids))
    assert len([row for row in page.rows["seeds"] if row[0] in ("a", "lake")]) == 5


def test_several_environments_have_a_part_each(runs: Path, tmp_path: Path) -> None:
    both = f"{runs / 'a'},{runs / 'lake'}"
    page = made(tmp_path / "p.html", f"x={both}", f"y={runs / 'b'},{runs / 'lake'}", "--no-video")
    assert "normalised IQM" in page.said("verdict")
    for name in ("all environments", "CartPole-v1", "FrozenLake-v1"):
        assert name in page.said("numbers")
    assert ["dqn.epsilon_start", "1.0", "0.5"] in page.rows["recipe"]
    assert "The recipes are the same" in page.said("recipe")  # on the lake
    assert len(page.ids) == len(set(page.ids))


HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(2)>&\"'${}"


def test_hostile_names_are_text(runs: Path, tmp_path: Path) -> None:
    run = copied(runs, "a", tmp_path / "<b onclick=x>r&d")
    recipe = (run / "recipe.toml").read_text()
    (run / "recipe.toml").write_text(recipe.replace('"CartPole-v1"', json.dumps(HOSTILE)))
    about = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(about | {"host": HOSTILE, "command": ["rlbench", HOSTILE]}))
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps(summary | {"stopped_because": HOSTILE, "device": HOSTILE}))
    out = tmp_path / "p.html"
    write_report({HOSTILE: [run], "other": [run]}, out, title=HOSTILE)
    page = Page(out.read_text(encoding="utf-8"))
    assert len(page.tags("script")) == 2
    assert not page.tags("img")
    assert not page.tags("b onclick=x")
    assert not [attrs for _, attrs in page.elements if any(name.startswith("on") for name in attrs)]
    assert HOSTILE in page.texts["top"]
    for section in ("verdict", "curves", "numbers", "seeds", "setting"):
        assert HOSTILE in page.texts[section], section
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "it holds no recipe.toml"),
        ("env = [", "recipe.toml is damaged"),
        ('env = "CartPole-v1"\nagent = "dqn"\ntotal_steps = 9\nseed = 0\nseeds = 2\n', "no evaluation yet"),
    ],
)
def test_where_nothing_is_left_there_is_one_line(tmp_path: Path, content: str | None, said: str) -> None:
    run = tmp_path / "run"
    run.mkdir()
    if content is not None:
        (run / "recipe.toml").write_text(content)
    line = mistake("report", run, "--out", tmp_path / "p.html")
    assert line.startswith("Error: nothing to report: ")
    assert said in line
    assert not (tmp_path / "p.html").exists()


def test_a_path_that_is_none_and_a_name_that_is_none(runs: Path, tmp_path: Path) -> None:
    assert "is no run folder: there is no such folder" in mistake("report", tmp_path / "nosuch")
    assert "is no name for a page" in mistake("report", runs / "a", "--out", tmp_path / "p.pdf")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(RunFolderError, match="it is a folder"):
        write_report([runs / "a"], tmp_path / "folder.html", video=False)
    with pytest.raises(UsageError, match="needs a run"):
        write_report([], tmp_path / "p.html")


def test_what_can_be_read_is_reported_and_the_rest_is_named(runs: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    shutil.copy(runs / "a" / "recipe.toml", fresh)
    page = made(tmp_path / "p.html", runs / "a", fresh, "--no-video")
    said = page.said("verdict")
    assert f"{fresh} broke off at env step 0 of 120: it has no score yet. Go on: rlbench train --resume" in said
    assert "no verdict is about fresh" in said
    assert "No curve of fresh" in page.said("curves")
    assert [row[2] for row in page.rows["seeds"] if row[0] == "fresh"] == ["–", "–", "–"]


def test_a_run_without_evaluations_has_a_curve_and_no_score(runs: Path, tmp_path: Path) -> None:
    run = copied(runs, "a", tmp_path / "run")
    (run / "summary.json").unlink()
    (run / "evaluations.csv").unlink()
    page = made(tmp_path / "p.html", run, "--no-video")
    assert "There is no greedy evaluation yet" in page.said("verdict")
    assert "episode returns" in page.said("curves")
    assert len(page.rows["seeds"]) == 4


def test_an_interrupted_run_says_where_it_stands(runs: Path, tmp_path: Path) -> None:
    run = copied(runs, "a", tmp_path / "run")
    summary = json.loads((run / "summary.json").read_text())
    gone_on = {"stopped_because": "interrupted", "env_steps": 60, "exact": False, "inexact_resumes_at": [30]}
    (run / "summary.json").write_text(json.dumps(summary | gone_on))
    page = made(tmp_path / "p.html", run, "--no-video")
    assert "was interrupted at env step 60 of 120: its scores are of its newest evaluations" in page.said("verdict")
    facts = {row[0]: row[1] for row in page.rows["setting"]}
    assert facts["resumed"].startswith("not exactly, at env step 30")
    assert page.rows["seeds"][1][-1] == "interrupted"


@pytest.mark.parametrize("name", ["summary.json", "run.json"])
def test_a_damaged_file_is_named(runs: Path, tmp_path: Path, name: str) -> None:
    run = copied(runs, "a", tmp_path / "run")
    (run / name).write_text((run / name).read_text()[:40])
    page = made(tmp_path / "p.html", run, "--no-video")
    assert f"{name} is damaged: " in page.said("verdict")
    assert [row[0] for row in page.rows["seeds"]] == ["seed", "0", "1", "2"]


def test_files_with_other_things_in_them_do_no_harm(runs: Path, tmp_path: Path) -> None:
    run = copied(runs, "a", tmp_path / "run")
    (run / "run.json").write_text('{"command": [1, 2], "versions": ["x"], "host": {"a": 1}, "started": 5}')
    (run / "summary.json").write_text('{"episodes": 3, "env_steps_of_seed": {"0": "x"}, "eval_episodes": "many"}')
    page = made(tmp_path / "p.html", run, "--no-video")
    assert "seed" in page.rows["seeds"][0]


def test_without_the_code_of_the_environment_there_is_no_video(runs: Path, tmp_path: Path) -> None:
    run = copied(runs, "a", tmp_path / "run")
    recipe = (run / "recipe.toml").read_text()
    (run / "recipe.toml").write_text(recipe.replace("imports = []", 'imports = ["evil.py"]'))
    page = made(tmp_path / "p.html", run)
    assert "needs a module imported" in page.said("watch")
    assert "--import evil.py" in page.said("watch")
    assert "--import evil.py" in page.said("reproduce")
    assert len(page.scripts) == 2


def test_an_environment_that_draws_nothing_has_no_video(tmp_path: Path) -> None:
    run = tmp_path / "run"
    succeeds("train", "--env", "rlbench/ProbeConstantReward-v0", *CARTPOLE[3:], "--out", run)
    page = made(tmp_path / "p.html", run)
    assert "draws no pictures" in page.said("watch")
    assert len(page.scripts) == 2
    assert "No return counts as solved there" in page.said("verdict")
    assert page.rows["seeds"][0] == ["seed", "final", "best", "env steps", "episodes", "stopped because"]
    assert "greedy evaluations" not in page.said("curves")  # a single one makes no curve


def test_a_run_that_does_not_repeat_itself_has_no_video(runs: Path, tmp_path: Path) -> None:
    run = copied(runs, "a", tmp_path / "run")
    recipe = (run / "recipe.toml").read_text()
    (run / "recipe.toml").write_text(recipe + "\n[env_kwargs]\nsutton_barto_reward = true\n")
    assert "did not repeat itself" in made(tmp_path / "p.html", run).said("watch")


def test_an_agent_of_ones_own_is_not_run_unless_it_is_named(tmp_path: Path) -> None:
    code = Path(__file__).parents[1] / "user_agents" / "reinforce.py"
    ref, run = f"{code}:Reinforce", tmp_path / "run"
    succeeds("train", "--env", "CartPole-v1", "--agent", ref, "--seeds", "2", "--total-steps", "200", "--workers", "1",
             "--progress", "none", "--set", "final_eval_episodes=2", "--device", "cpu", "--out", run)  # fmt: skip
    page = made(tmp_path / "p.html", run)
    (data,) = [json.loads(code) for code in page.scripts if code.startswith("{")]
    assert all(reel["pictures"] and reel["q"] is None for reel in data["reels"])
    assert "others were not loaded" in data["reels"][0]["notes"][0]
    assert f"rlbench eval {run} --agent {ref}" in page.said("reproduce")
    assert "Keep that file with this page" in page.said("reproduce")
    named = made(tmp_path / "q.html", run, "--agent", ref)
    (data,) = [json.loads(code) for code in named.scripts if code.startswith("{")]
    assert "others were not loaded" not in data["reels"][0]["notes"][0]


def test_long_episodes_are_left_out(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = gather([runs / "a"])
    assert len(env_reels(found.contestants, "CartPole-v1", (), (), 1).reels) >= 2
    assert LONGEST > 500
    monkeypatch.setattr("rlbench.report.reels.LONGEST", 3)
    none = env_reels(found.contestants, "CartPole-v1", (), (), 1)
    assert none.reels == []
    assert "too many for this page" in none.notes[0]


def test_a_command_is_told_as_one_types_it(runs: Path, tmp_path: Path) -> None:
    run = copied(runs, "a", tmp_path / "run")
    for command, typed in (
        (["/opt/bin/rlbench", "train", "--out", "a b"], "rlbench train --out 'a b'"),
        (["/x/rlbench/__main__.py", "train"], "python -m rlbench train"),
        (["study.py", "--fast"], "python study.py --fast"),
    ):
        about = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps(about | {"command": command}))
        assert f"<pre>{escape(typed)}</pre>" in reproduce(gather([run]))


def test_two_pictures_share_no_id_and_hold_no_style_for_the_whole_page() -> None:
    def picture(prefix: str) -> str:
        figure = matplotlib.figure.Figure(figsize=(2, 1))
        ax = figure.add_subplot()
        ax.plot([0, 1], [0, 1], color="#0072B2", label="<b>&$x$")
        ax.legend()
        return inline(figure, prefix, 'a "picture"')

    first, second = Page(picture("p0-")), Page(picture("p1-"))
    assert first.ids
    assert not set(first.ids) & set(second.ids)
    assert not first.tags("style")
    assert not first.tags("b")
    assert "xmlns" not in first.html
    assert first.tags("svg")[0]["aria-label"] == 'a "picture"'


@pytest.mark.slow
@needs_chromium
def test_in_a_browser(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.html"
    made(out, f"base={runs / 'a'}", f"calm={runs / 'b'}")
    with browser(tmp_path / "profile") as tab:
        for width in (375, 1200):
            for dark in (False, True):
                tab.open(out, width=width, dark=dark)
                assert tab.js("document.documentElement.scrollWidth") <= width
                background = tab.js("getComputedStyle(document.body).backgroundColor")
                assert (max(map(int, re.findall(r"\d+", background)[:3])) < 60) is dark
                ink = tab.js("getComputedStyle(document.querySelector('.chart text')).fill")
                assert (min(map(int, re.findall(r"\d+", ink)[:3])) > 180) is dark
                tab.js("document.querySelector('.differ tbody th').textContent = 'dqn.target_update_every_so_often'")
                tab.js("document.querySelector('.differ tbody td').textContent = '100000'")
                lines = "r.selectNodeContents(document.querySelector('.differ tbody td')), r.getClientRects().length"
                assert tab.js(f"r = document.createRange(), {lines}") == 1  # a number stays whole beside a long key
        assert tab.js("document.querySelectorAll('.rlb-player[data-ready]').length") == 1
        tab.js("document.querySelector('.rlb-player button.play').click()")
        tab.wait("Number(document.querySelector('.rlb-player input[type=range]').value) > 1")
        order = "[...document.querySelectorAll('#seeds tbody tr')].map((r) => Number(r.cells[2].dataset.v))"
        tab.js("document.querySelector('#seeds thead th:nth-child(3) button').click()")
        finals = tab.js(order)
        assert finals == sorted(finals)
        tab.js("document.querySelector('#seeds thead th:nth-child(3) button').click()")
        assert tab.js(order) == sorted(finals, reverse=True)
        tab.js("window.dispatchEvent(new Event('beforeprint'))")
        assert tab.js("document.querySelectorAll('details:not([open])').length") == 0
        tab.js("window.dispatchEvent(new Event('afterprint'))")
        assert tab.js("document.querySelectorAll('details[open]').length") == 0
        assert tab.errors == []
        assert [url for url in tab.requests if not url.startswith(("file:", "data:", "about:"))] == []
