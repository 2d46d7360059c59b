"""The table of cases: what an environment is like, what is wrong with it, and what is to come of it."""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .answers import ANSWERS, BAD_FLAGS, BAD_REWARDS, FLAGS, INFOS, REWARDS
from .trees import ACTIONS, FLAT, NESTED, THREE, TWO, UNFIT, UNFIT_ACTIONS, VECTOR, box
from .values import SPOILERS, Tree, build, fixed, leaves

FINE, EITHER, FAILS, REFUSED = "fine", "either", "fails", "refused"


class Case(NamedTuple):
    """One environment.

    ``wrong`` maps a method, or a part of what it returns, to what is wrong there, from step ``at`` on: the copy's for
    methods, the episode's for what they return.
    ``expect``: "fine" trains, and every value is recorded as it was given; "either" does so, or says in one line why
    not; "fails" says so in one line once it happens; "refused" says so before training. ``names``: one of these words
    stands in that line. ``exact``: it resumes and replays exactly.
    """

    name: str
    group: str
    obs: Tree
    action: Tree
    wrong: dict[str, str]
    expect: str
    place: tuple[Any, ...] = ()
    at: int = 0
    names: tuple[str, ...] = ()
    exact: bool = True


RAISES = (
    "raise", "raise-bare", "raise-lines", "raise-blank-lines", "raise-assert", "raise-assert-lines", "raise-key",
    "raise-stop", "raise-generator-exit", "raise-os", "raise-pipe", "raise-memory", "raise-not-implemented",
    "raise-import", "raise-unicode", "raise-recursion", "raise-type", "raise-attribute", "exit", "exit-0", "exit-3",
    "exit-text",
)  # fmt: skip
HARMLESS = (
    "chdir", "dtype", "no-grad", "torch-threads", "torch-seed", "torch-device", "torch-deterministic", "torch-denormal",
    "seterr", "numpy-print", "warnings", "signals", "signals-default", "sigchld", "alarm", "umask", "environ", "locale",
    "recursion-limit", "path", "stdout", "gc", "process", "program", "thread", "print", "print-error",
    "slow", "garbage",
)  # fmt: skip
METHODS = ("init", "reset", "step", "close", "render", "import")


def table(count: int | None, seed: int) -> list[Case]:
    """``count`` cases, or all: those that are written down, among as many right spaces with a wrong value, in an order
    that ``seed`` decides."""
    rng = np.random.default_rng(seed)
    cases = {case.name: case for case in _written()}
    whole = max(count or 0, 2 * len(cases))
    for case in _spoilt(rng):
        if len(cases) == whole:
            break
        cases.setdefault(case.name, case)
    known = list(cases.values())
    return [known[i] for i in rng.permutation(len(known))[:count]]


def find(name: str, seed: int) -> list[Case]:
    """All cases whose name contains ``name``."""
    return [case for case in table(None, seed) if name in case.name]


def _written() -> Iterator[Case]:
    yield from _spaces()
    yield from _answers()
    yield from _misbehaviours()


def _spaces() -> Iterator[Case]:
    for name, tree in {**FLAT, **NESTED}.items():
        yield Case(f"obs/{name}", "observations", tree, THREE, {}, FINE)
    for name, tree in UNFIT.items():
        yield Case(f"obs-unfit/{name}", "observations that do not fit", tree, TWO, {}, REFUSED, names=("observation",))
    for name, tree in ACTIONS.items():
        unbounded = name in ("box-unbounded", "box-half-bounded")
        yield Case(f"action/{name}", "actions", VECTOR, tree, {}, EITHER if unbounded else FINE, names=("action",))
    for name, tree in UNFIT_ACTIONS.items():
        yield Case(f"action-unfit/{name}", "actions that do not fit", VECTOR, tree, {}, REFUSED, names=("action",))
    for how in ("none", "no-actions", "class", "list", "missing", "set-in-reset"):
        expect = EITHER if how == "set-in-reset" else REFUSED
        yield Case(f"spaces/{how}", "spaces", VECTOR, TWO, {"spaces": how}, expect, names=("space",))
    for how in ("changing", "changing-actions"):
        yield Case(f"spaces/{how}", "spaces", VECTOR, TWO, {"spaces": how}, REFUSED, names=("space", "shape"))
    for how in ("key-missing", "key-more", "keys-reordered"):
        for name in ("dict", "dict-deep", "dict-two"):
            words = ("observation", "key")
            case = Case(f"{how}/{name}", "keys", NESTED[name], TWO, {"obs": how}, EITHER, names=words)
            yield case._replace(expect=FAILS) if how == "key-missing" else case
    yield Case(
        "part-missing/tuple", "keys", NESTED["tuple"], TWO, {"obs": "part-missing"}, FAILS, names=("observation",)
    )


def _answers() -> Iterator[Case]:
    for how in REWARDS:
        expect = FAILS if how in BAD_REWARDS else EITHER
        yield Case(f"reward/{how}", "rewards", VECTOR, TWO, {"reward": how}, expect, at=4, names=("reward",))
    for how in FLAGS:
        expect = FAILS if how in BAD_FLAGS else EITHER
        flags = ("terminated", "truncated")
        yield Case(f"flags/{how}", "flags", VECTOR, TWO, {"flags": how}, expect, at=4, names=flags)
    for how in INFOS:
        yield Case(f"info/{how}", "infos", VECTOR, TWO, {"info": how}, EITHER, at=4, names=("info",))
    for how in ANSWERS:
        expect = EITHER if how == "list" else FAILS
        case = Case(f"answer/{how}", "answers of step", VECTOR, TWO, {"answer": how}, expect, at=4, names=("step",))
        yield case._replace(names=("Gym",)) if how == "four" else case
    for name, tree in (("box", VECTOR), ("dict", NESTED["dict"]), ("pair", box(2))):
        wrong = {"reset-gives": "bare"}
        yield Case(f"reset/bare-{name}", "answers of reset", tree, TWO, wrong, FAILS, names=("Gym",))
    yield Case("reset/three", "answers of reset", VECTOR, TWO, {"reset-gives": "three"}, FAILS, names=("reset",))
    for how in ("instead-of-info", "info-list"):
        yield Case(f"reset/{how}", "answers of reset", VECTOR, TWO, {"reset-gives": how}, EITHER, names=("info",))
    for name in ("box", "box-ints", "box-bytes"):
        acts = Case(f"action-in-place/{name}", "in place", VECTOR, ACTIONS[name], {"action": "zeroed"}, FINE)
        yield acts
    for name in ("box", "picture", "multi-discrete", "box-doubles"):
        yield Case(f"same-array/{name}", "in place", FLAT[name], TWO, {"obs": "same-array"}, FINE)
    for name in ("box", "discrete", "dict", "picture"):
        tree = {**FLAT, **NESTED}[name]
        yield Case(f"unseeded-obs/{name}", "not deterministic", tree, TWO, {"obs": "unseeded"}, FINE, exact=False)
    yield Case("unseeded-reward", "not deterministic", VECTOR, TWO, {"reward": "unseeded"}, FINE, exact=False)
    yield Case("kept-reward", "not deterministic", VECTOR, TWO, {"reward": "kept"}, FINE, exact=False)
    for how in ("nothing", "floats", "grey", "list"):
        yield Case(f"render/{how}", "pictures", VECTOR, TWO, {"render-gives": how}, EITHER, names=("render", "picture"))


def _misbehaviours() -> Iterator[Case]:
    for where, what in itertools.product(METHODS, (*RAISES, "interrupt", *HARMLESS)):
        if where == "import" and what in ("process", "program", "thread", "raise-attribute"):
            continue
        if where == "render" and what in HARMLESS and what not in ("chdir", "dtype", "print", "seterr"):
            continue
        if where == "close" and what in ("process", "program", "thread"):  # who would end them?
            continue
        harmless = what in HARMLESS or where in ("close", "render")
        expect = (
            EITHER
            if what == "interrupt" and where in ("close", "render")
            else FINE
            if harmless
            else REFUSED
            if where in ("init", "import")
            else FAILS
        )
        at = 0 if where in ("init", "import", "close", "render") or harmless else 9
        names = ("interrupt", "stopped") if what == "interrupt" else ("Odd-v0", "world.py")
        yield Case(f"{where}/{what}", f"{where} {_sort(what)}", VECTOR, TWO, {where: what}, expect, at=at, names=names)


def _sort(what: str) -> str:
    for kind in ("raise", "exit", "interrupt"):
        if what.startswith(kind):
            return f"{kind}s"
    return "meddles"


def _spoilt(rng: np.random.Generator) -> Iterator[Case]:
    """Right spaces with one wrong value, without end: which leaf, what is wrong, from which step on."""
    trees = [(name, tree) for name, tree in {**FLAT, **NESTED}.items() if fixed(build(tree))]
    hows = list(SPOILERS)
    for k in itertools.count():
        name, tree = trees[int(rng.integers(len(trees)))]
        how = hows[k % len(hows)]
        ends = [place for place, leaf in leaves(build(tree)) if fixed(leaf)]
        place, at = ends[int(rng.integers(len(ends)))], int(rng.choice([0, 1, 4]))
        at_leaf = "".join(f".{part}" for part in place)
        yield Case(
            f"spoilt/{name}{at_leaf}/{how}@{at}", f"value {how}", tree, TWO, {"obs": how}, EITHER, place, at,
            names=("observation", "was declared", "values.py"),
        )  # fmt: skip
