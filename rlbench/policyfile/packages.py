"""Packages of rlbench's extras, imported where they are needed: who lacks one is told which extra brings it."""

import importlib
from typing import Any

from ..errors import UsageError


def package(name: str, extra: str) -> Any:
    """A package of an extra. Raises UsageError that names it."""
    try:
        return importlib.import_module(name)
    except ImportError as e:
        raise UsageError(f"this needs {name}, which is not installed. Run: pip install 'rlbench[{extra}]'") from e
