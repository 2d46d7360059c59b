"""Numbers out of JSON and TOML files, which anybody may have written: NaN, infinity, endless integers."""

import math
from typing import Any


def finite(value: Any) -> float | None:
    """A finite number, or None for whatever else it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer beyond all floats
        return None
