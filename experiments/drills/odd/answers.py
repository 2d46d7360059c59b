"""What `step` may give that is not what it should be: rewards, flags, infos, and whole answers."""

from typing import Any

import numpy as np

from .values import SPOILERS

REWARDS: dict[str, Any] = {
    "none": lambda r: None, "array": lambda r: np.array([r]), "array-0d": lambda r: np.array(r), "list": lambda r: [r],
    "two": lambda r: np.array([r, r]), "text": lambda r: str(r), "nan": lambda r: float("nan"),
    "infinite": lambda r: float("-inf"), "huge": lambda r: 1e40, "whole": lambda r: round(r), "flag": lambda r: r > 0,
    "numpy": lambda r: np.float64(r), "half": lambda r: np.float16(r), "complex": lambda r: complex(r, 1),
    "tensor": lambda r: SPOILERS["tensor"](np.float64(r)), "dictionary": lambda r: {"r": r}, "long": lambda r: 10**400,
    "decimal": lambda r: __import__("decimal").Decimal(str(r)),
    "fraction": lambda r: __import__("fractions").Fraction(r),
    "tensor-with-gradient": lambda r: SPOILERS["tensor-with-gradient"](r), "precise": lambda r: r + 1e-9,
}  # fmt: skip
FLAGS: dict[str, Any] = {
    "none": lambda f: None, "number": lambda f: int(f), "numpy": lambda f: np.bool_(f), "text": lambda f: str(f),
    "array": lambda f: np.array([f]), "two": lambda f: np.array([f, f]), "float": lambda f: float(f),
    "nan": lambda f: float("nan"), "list": lambda f: [f], "tensor": lambda f: SPOILERS["tensor"](np.array(f)),
    "dictionary": lambda f: {"done": f}, "array-0d": lambda f: np.array(f), "two-number": lambda f: 2 * int(f),
}  # fmt: skip
INFOS: dict[str, Any] = {
    "none": lambda: None, "list": lambda: [1, 2], "text": lambda: "info", "number": lambda: 5,
    "big": lambda: {"a": "x" * 10**6}, "odd-keys": lambda: {1: 2, None: 3, ("a", 1): object()},
    "final": lambda: {"final_observation": 1, "TimeLimit.truncated": 1},
}  # fmt: skip
ANSWERS: dict[str, Any] = {
    "four": lambda a: (a[0], a[1], a[2] or a[3], a[4]), "three": lambda a: a[:3], "six": lambda a: (*a, {}),
    "none": lambda a: None, "obs": lambda a: a[0], "list": lambda a: list(a), "empty": lambda a: (),
    "dictionary": lambda a: dict(zip("abcde", a, strict=True)), "generator": lambda a: (x for x in a),
    "text": lambda a: "abcde",
}  # fmt: skip

#: What no number stands for, or none that the learner can keep.
BAD_REWARDS = {"none", "list", "two", "text", "nan", "infinite", "huge", "complex", "dictionary", "long"}
BAD_FLAGS = {"none", "text", "two", "nan", "dictionary"}
