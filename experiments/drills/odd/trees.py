"""Spaces by name, as tables: those that can be learned from, and those that cannot."""

from typing import Any

from .values import Tree


def box(*shape: int, low: Any = -1, high: Any = 1, dtype: str = "float32") -> Tree:
    return ["Box", low, high, list(shape), dtype]


TWO, THREE = ["Discrete", 2, 0], ["Discrete", 3, 0]
VECTOR = box(3)
FLAT: dict[str, Tree] = {
    "box": VECTOR, "box-scalar": box(), "box-one": box(1), "box-matrix": box(2, 3), "box-four": box(2, 1, 2, 2),
    "box-unbounded": box(3, low="-inf", high="inf"), "box-half-bounded": box(2, low=0, high="inf"),
    "box-wide": box(2, low=-3.4e38, high=3.4e38), "box-doubles": box(3, dtype="float64"),
    "box-halves": box(3, dtype="float16"), "box-bytes": box(3, low=0, high=255, dtype="uint8"),
    "box-signed-bytes": box(3, low=-128, high=127, dtype="int8"),
    "box-shorts": box(2, low=-300, high=300, dtype="int16"), "box-ints": box(2, low=-9, high=9, dtype="int32"),
    "box-longs": box(2, low=-9, high=9, dtype="int64"), "box-unsigned": box(2, low=0, high=60000, dtype="uint16"),
    "box-far": box(2, low=2**20, high=2**20 + 40, dtype="int64"), "box-one-value": box(2, low=1, high=1),
    "box-each": ["Box", [-1.0, 0.0, 5.0], [1.0, 10.0, 6.0], [3], "float32"],
    "box-flags": box(3, low=0, high=1, dtype="int8"), "picture": box(6, 5, low=0, high=255, dtype="uint8"),
    "picture-rgb": box(6, 5, 3, low=0, high=255, dtype="uint8"),
    "picture-first": box(3, 6, 5, low=0, high=255, dtype="uint8"), "picture-floats": box(4, 4, 1, low=0, high=1),
    "board": box(3, 3, low=0, high=2, dtype="uint8"), "board-ints": box(3, 3, low=-1, high=1, dtype="int8"),
    "discrete": ["Discrete", 5, 0], "discrete-start": ["Discrete", 5, 10], "discrete-below": ["Discrete", 4, -2],
    "discrete-one": ["Discrete", 1, 0], "discrete-many": ["Discrete", 3000, 0],
    "multi-discrete": ["MultiDiscrete", [3, 2, 4], [0, 0, 0]],
    "multi-discrete-start": ["MultiDiscrete", [3, 2], [5, -1]],
    "multi-discrete-matrix": ["MultiDiscrete", [[2, 3], [4, 2]], [[0, 0], [0, 0]]], "multi-binary": ["MultiBinary", 4],
    "multi-binary-matrix": ["MultiBinary", [2, 3]], "text": ["Text", 4, "abcd "],
}  # fmt: skip
NESTED: dict[str, Tree] = {
    "dict": ["Dict", {"b": VECTOR, "a": ["Discrete", 3, 1]}],
    "dict-two": ["Dict", {"a": box(3, low=0), "b": box(3, low=0)}],
    "dict-picture": ["Dict", {"view": box(4, 4, low=0, high=255, dtype="uint8"), "speed": box(1)}],
    "dict-deep": ["Dict", {"x": ["Dict", {"y": ["Dict", {"z": box(2)}], "n": ["MultiBinary", 2]}], "m": TWO}],
    "tuple": ["Tuple", [box(2), ["Discrete", 3, 0], ["MultiDiscrete", [2, 3], [0, 0]]]],
    "tuple-doubles": ["Tuple", [box(2, dtype="float64"), box(2, low=0, high=9, dtype="int64")]],
    "tuple-of-dicts": ["Tuple", [["Dict", {"a": box(1)}], ["Dict", {"a": ["MultiBinary", 3]}]]],
    "dict-of-tuples": ["Dict", {"pair": ["Tuple", [TWO, box(2)]], "text": ["Text", 3, "xyz"]}],
    "dict-and-sequence": ["Dict", {"v": box(2), "many": ["Sequence", ["Discrete", 3, 0]]}],
    "dict-and-graph": ["Dict", {"v": box(2), "g": ["Graph", box(2), None]}],
    "one-of": ["OneOf", [box(2), ["Discrete", 3, 0]]],
    "dict-one-of": ["Dict", {"o": ["OneOf", [TWO, box(1)]], "v": box(1)}],
}  # fmt: skip
UNFIT: dict[str, Tree] = {
    "sequence": ["Sequence", box(2)], "graph": ["Graph", box(2), ["Discrete", 3, 0]], "empty": box(0),
    "empty-picture": box(0, 4, low=0, high=255, dtype="uint8"), "dict-empty": ["Dict", {}],
    "tuple-empty": ["Tuple", []], "dict-of-empties": ["Dict", {"a": box(0), "b": box(0)}],
    "tuple-sequence": ["Tuple", [box(2), ["Sequence", TWO]]], "discrete-huge": ["Discrete", 2**30, 0],
    "discrete-huger": ["Discrete", 2**62, 0], "dict-of-sequences": ["Dict", {"a": ["Sequence", TWO]}],
    "dict-deep-sequence": ["Dict", {"a": ["Tuple", [["Sequence", TWO]]]}],
    "multi-discrete-huge": ["MultiDiscrete", [2**28, 3], [0, 0]],
}  # fmt: skip
ACTIONS: dict[str, Tree] = {
    "discrete": ["Discrete", 4, 0], "discrete-start": ["Discrete", 3, 7], "discrete-below": ["Discrete", 3, -1],
    "discrete-one": ["Discrete", 1, 0], "discrete-300": ["Discrete", 300, 0], "discrete-far": ["Discrete", 3, 40_000],
    "box": box(2), "box-scalar": box(), "box-matrix": box(2, 2), "box-doubles": box(2, dtype="float64"),
    "box-halves": box(2, dtype="float16"), "box-ints": box(2, low=-3, high=3, dtype="int64"),
    "box-bytes": box(2, low=0, high=255, dtype="uint8"), "box-signed-bytes": box(1, low=-5, high=5, dtype="int8"),
    "box-unbounded": box(2, low="-inf", high="inf"), "box-half-bounded": box(1, low=0, high="inf"),
    "box-wide": box(1, low=-3e38, high=3e38), "box-each": ["Box", [-1.0, 0.0], [1.0, 10.0], [2], "float32"],
    "box-one-value": box(2, low=1, high=1),
    "multi-discrete": ["MultiDiscrete", [3, 2], [0, 0]], "multi-discrete-one": ["MultiDiscrete", [4], [0]],
    "multi-discrete-start": ["MultiDiscrete", [3, 300], [5, -1]], "multi-binary": ["MultiBinary", 3],
    "multi-discrete-matrix": ["MultiDiscrete", [[2, 3], [4, 2]], [[0, 1], [-2, 0]]],
    "multi-binary-matrix": ["MultiBinary", [2, 2]],
}  # fmt: skip
UNFIT_ACTIONS: dict[str, Tree] = {
    "multi-discrete-huge": ["MultiDiscrete", [2**40, 2], [0, 0]],
    "dict": ["Dict", {"a": TWO}], "tuple": ["Tuple", [TWO, box(1)]], "text": ["Text", 3, "ab"],
    "sequence": ["Sequence", TWO], "empty": box(0), "dict-empty": ["Dict", {}], "one-of": ["OneOf", [TWO, box(1)]],
    "discrete-huge": ["Discrete", 2**40, 0],
}  # fmt: skip
