"""The parts of a report that let others judge and repeat it: recipes, versions, commands, methods. HTML, escaped."""

import json
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import PurePath
from typing import Any

from ..runfolder.documents import finite
from ..units import duration
from ..user_code.commands import place
from ..user_code.refs import runs_user_code
from ..version import __version__
from .findings import Findings, Folder
from .results import plural

_UNKNOWN = "not known"


def recipes(found: Findings) -> str:
    """What differs between the runs on an environment, and every recipe in full, folded."""
    named = list(zip(_names(found), found.folders, strict=True))
    parts = []
    for env in found.envs:
        flat = {name: _flat(folder.recipe) for name, folder in named if folder.recipe and folder.facts.env == env}
        keys = dict.fromkeys(key for one in flat.values() for key in one)
        every = {key: {name: one.get(key, "–") for name, one in flat.items()} for key in keys}
        differ = {key: values for key, values in every.items() if len(set(values.values())) > 1}
        if len(flat) > 1:
            parts.append(f"<h3>{escape(env)}</h3>" if len(found.envs) > 1 else "")
            parts.append(_differences(differ) if differ else "<p>The recipes are the same, key by key.</p>")
    texts: dict[str, list[str]] = {}
    for name, folder in named:
        if folder.recipe_text:
            texts.setdefault(folder.recipe_text, []).append(name)
    for text, of in texts.items():
        whose = f" of {escape(', '.join(of))}" if len(named) > 1 else ""
        parts.append(f"<details><summary>The whole recipe{whose}</summary><pre>{escape(text)}</pre></details>")
    return "".join(parts) or "<p>No recipe can be read.</p>"


def setting(found: Findings) -> str:
    """Environment, versions, machine, time, exactness: one value where all runs agree, else one each."""
    names = _names(found)
    facts = [_facts(folder) for folder in found.folders]
    rows = []
    for key in dict.fromkeys(key for one in facts for key in one):
        values = {names[i]: one.get(key, "–") for i, one in enumerate(facts)}
        by_value: dict[str, list[str]] = {}
        for name, value in values.items():
            by_value.setdefault(value, []).append(name)
        if len(by_value) == 1:
            cell = escape(next(iter(by_value)))
        else:
            cell = "".join(
                f'<div><span class="who">{escape(", ".join(who))}</span> {escape(value)}</div>'
                for value, who in by_value.items()
            )
        rows.append(f'<tr><th scope="row">{escape(key)}</th><td>{cell}</td></tr>')
    return f'<table class="facts"><tbody>{"".join(rows)}</tbody></table>'


def reproduce(found: Findings) -> str:
    """Command lines: as they were typed, from the recipe, and to look at the result."""
    folders = list({folder.path: folder for folder in found.folders if folder.recipe}.values())
    typed = [command for folder in folders if (command := _typed(folder.about.get("command")))]
    again = ["rlbench", "train", "--recipe", "recipe.toml", "--out", "runs/again"]
    looks = [["rlbench", "verify", place(folder.path), *_code(folder, ("--import",))] for folder in folders]
    looks += [["rlbench", "eval", place(folder.path), *_code(folder)] for folder in folders]
    if found.comparison:
        groups = [f"{label}={','.join(paths)}" for label, paths in found.comparison.runs.items()]
        looks.append(["rlbench", "compare", *groups])
    parts = [
        (f"The versions that were used, with rlbench {_own_version(found)}:", [_pins(folder) for folder in folders]),
        ("The commands as they were typed:", typed),
        (
            "Or from a recipe above, saved as recipe.toml. It is what counts where a run was started from Python, or "
            "given more steps later:",
            [shlex.join([*again, *_code(folder)]) for folder in folders],
        ),
        ("To check the record, and to measure again:", [shlex.join(words) for words in looks]),
    ]
    html = ""
    for sentence, lines in parts:
        if unique := list(dict.fromkeys(filter(None, lines))):
            html += f"<p>{escape(sentence)}</p><pre>{escape(chr(10).join(unique))}</pre>"
    own = dict.fromkeys(folder.agent for folder in folders if runs_user_code(folder.agent))
    if own:
        html += f"<p>Code of its own: {escape(', '.join(own))}. Keep that file with this page.</p>"
    return html + (
        "<p>On a CPU, with one thread per process and the same versions, a seed gives the same bits again, whatever "
        "the number of processes.</p>"
    )


def _counts(summary: dict[str, Any]) -> list[float | None]:
    """How many episodes the seeds' final scores rest on."""
    counts = summary.get("final_eval_episodes")
    return list(map(finite, counts.values() if isinstance(counts, dict) else [summary.get("eval_episodes")]))


def method(found: Findings) -> str:
    """How the numbers are made."""
    known = {n for f in found.folders for n in _counts(f.summary) if n is not None and n > 0}
    low, high = (int(end(known)) if known else 0 for end in (min, max))
    many = "some" if not known else f"{low} to {high}" if low < high else str(high)
    lines = [
        f"A seed's <b>final score</b> is the mean return of {many} greedy episodes with the weights that training "
        "ended with; its <b>best</b> is that of the weights that did best in an evaluation while it trained. The "
        "verdict is about final scores: best ones are selected, and flatter agents that vary.",
        "<b>IQM</b> is the interquartile mean: of the middle half of the seeds (Agarwal et al. 2021, "
        "arXiv:2108.13264). Intervals in square brackets are 95 % stratified bootstrap intervals over seeds, 10,000 "
        "draws, with their percentiles taken further out because plain ones are too narrow for few seeds (Hesterberg "
        "2015).",
        "<b>Reached</b>: the share of seeds with a greedy evaluation at that return, with Wilson's interval; the "
        "median steps are Kaplan and Meier's, so that seeds that never got there count as not yet there. "
        "<b>Optimality gap</b>: what is missing to a normalised score of 1. <b>Area under the curve</b>: mean greedy "
        "return while learning.",
    ]
    if found.comparison:
        lines.append(
            "<b>Probability of improvement</b>: that a random seed of one beats a random seed of the other, ties half; "
            "interval by Newcombe (2006). <b>Better</b> or <b>worse</b> is said only where the interval of the IQM's "
            "difference leaves out 0, p is below 0.05 (by Holm where several are compared), and there are seeds enough "
            "for a permutation test to be that clear."
        )
    return "".join(f"<p>{line}</p>" for line in lines)


def _names(found: Findings) -> list[str]:
    """One per folder: its contestant's, with the folder where it has several."""
    return [
        c.label if len(c.folders) == 1 else f"{c.label}: {folder.path}"
        for c in found.contestants
        for folder in c.folders
    ]


def _differences(differ: Mapping[str, Mapping[str, str]]) -> str:
    """A row per key; runs with the same value share a cell."""
    names = list(next(iter(differ.values())))
    if len(names) <= 4:
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
        rows = "".join(
            f'<tr><th scope="row">{escape(key)}</th>{"".join(f"<td>{escape(v)}</td>" for v in values.values())}</tr>'
            for key, values in differ.items()
        )
        return (
            '<div class="scroll" tabindex="0" role="region" aria-label="differences"><table class="differ"><thead><tr>'
            f"<td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        )
    rows = ""
    for key, values in differ.items():
        by_value: dict[str, list[str]] = {}
        for name, value in values.items():
            by_value.setdefault(value, []).append(name)
        cell = "".join(
            f'<div>{escape(value)} <span class="who">{escape(", ".join(who))}</span></div>'
            for value, who in by_value.items()
        )
        rows += f'<tr><th scope="row">{escape(key)}</th><td>{cell}</td></tr>'
    return f'<table class="differ"><tbody>{rows}</tbody></table>'


def _flat(recipe: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """{"dqn.gamma": "0.99"}"""
    out: dict[str, str] = {}
    for key, value in recipe.items():
        if isinstance(value, dict):
            out |= _flat(value, f"{above}{key}.")
        else:
            out[above + key] = json.dumps(value, default=str, ensure_ascii=False)
    return out


def _facts(folder: Folder) -> dict[str, str]:
    """What there is to know about a run besides its results."""
    about, summary, recipe, facts = folder.about, folder.summary, folder.recipe, folder.facts
    versions = about.get("versions")
    copies = int(finite(recipe.get("num_envs")) or 1)
    out = {"run": str(folder.path), "environment": facts.env}
    if recipe.get("env_kwargs"):
        out["its arguments"] = json.dumps(recipe["env_kwargs"], ensure_ascii=False)
    if recipe.get("wrappers"):
        out["its wrappers"] = json.dumps(recipe["wrappers"], ensure_ascii=False)
    if finite(recipe.get("max_episode_steps")):
        out["time limit"] = plural(int(finite(recipe["max_episode_steps"]) or 0), "step")
    out |= {
        "agent": folder.agent,
        "status": "; ".join([folder.status, *facts.damage.splitlines()]),
        "seeds": f"{facts.seeds}, each on {copies} environment cop{'y' if copies == 1 else 'ies'}",
        "env steps per seed": f"{facts.steps:,} of {facts.budget:,}",
    }
    out["updates per seed"] = _count(summary.get("updates"))
    out["wall time"] = _UNKNOWN if facts.seconds is None else duration(facts.seconds)
    out["env steps a second, all seeds"] = _count(summary.get("env_steps_per_second"))
    out["started"] = str(about.get("started", _UNKNOWN)).replace("T", " ")
    out["device"] = str(summary.get("device", recipe.get("device", _UNKNOWN)))
    out["machine"] = ", ".join(str(about[key]) for key in ("host", "platform") if about.get(key)) or _UNKNOWN
    known = [f"{k} {v}" for k, v in versions.items()] if isinstance(versions, dict) else []
    out["versions"] = ", ".join([f"Python {about['python']}", *known]) if "python" in about else _UNKNOWN
    out["git commit of the folder it was started in"] = str(about.get("commit") or "none")
    out["resumed"] = _resumes(summary)
    return out


def _count(value: Any) -> str:
    found = finite(value)
    return _UNKNOWN if found is None else f"{found:,.0f}"


def _resumes(summary: Mapping[str, Any]) -> str:
    at = summary.get("inexact_resumes_at")
    if "exact" not in summary:
        return f"{_UNKNOWN}: the run has left no summary"
    if summary["exact"] is True:
        return "exact: never, or each time as if it had not stopped"
    where = ", ".join(f"{n:,.0f}" for n in map(finite, at if isinstance(at, list) else []) if n is not None)
    return f"not exactly, at env step {where or '?'}: it would not come out the same bit by bit"


def _typed(command: Any) -> str:
    """The command line of run.json, as one types it."""
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        return ""
    name, rest = PurePath(command[0]).name, command[1:]
    if name in ("rlbench", "rlbench.exe"):
        return shlex.join(["rlbench", *rest])
    return shlex.join(["python", "-m", "rlbench", *rest] if name == "__main__.py" else ["python", *command])


def _code(folder: Folder, options: Sequence[str] = ("--agent", "--import")) -> list[str]:
    """The options that name the code a run needs; of these."""
    modules = folder.recipe.get("imports")
    pairs = [("--agent", folder.agent)] if runs_user_code(folder.agent) else []
    pairs += [("--import", str(module)) for module in (modules if isinstance(modules, list) else [])]
    return [word for pair in pairs if pair[0] in options for word in pair]


def _pins(folder: Folder) -> str:
    versions = folder.about.get("versions")
    if not isinstance(versions, dict):
        return ""
    pins = [f"{k}=={str(v).partition('+')[0]}" for k, v in versions.items() if k != "rlbench" and " " not in str(v)]
    return shlex.join(["pip", "install", *pins]) if pins else ""


def _own_version(found: Findings) -> str:
    versions = [f.about.get("versions") for f in found.folders]
    own = dict.fromkeys(str(v["rlbench"]) for v in versions if isinstance(v, dict) and "rlbench" in v)
    return " and ".join(own) or __version__
