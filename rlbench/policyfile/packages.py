"""Packages that are imported where they are needed: who lacks one is told what brings it."""

import importlib
from typing import Any

from ..errors import UsageError

PLAIN = ("torch", "gymnasium")  # rlbench itself depends on them; an ONNX file is used without


def package(name: str, extra: str) -> Any:
    """A package of an extra, or one that comes with rlbench itself. Raises UsageError that names it."""
    try:
        return importlib.import_module(name)
    except ImportError as e:
        raise missing(name, extra) from e


def missing(name: str, extra: str = "") -> UsageError:
    """What is said where a package is not installed."""
    wanted = "rlbench" if name in PLAIN or not extra else f"'rlbench[{extra}]'"
    return UsageError(f"this needs {name}, which is not installed. Run: pip install {wanted}")
