"""How returns are written, everywhere: rewards may be of the size of 1e-6 or of 1e9, and nobody says so beforehand.

A number alone has four significant digits, and an estimate as many as the width of its interval deserves; what is too
small or too large for that has an exponent. Nothing that is not zero reads as zero. Imports nothing heavy.
"""

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal

_LARGE, _SMALL = 1e7, 1e-4  # from here on, and below, an exponent is easier to read than zeros
_LARGEST = 1.797e308
MOST_SEEDS = 20  # that are told one by one


def number(x: float | None) -> str:
    """A return: 187.3, 23, -0.00125, 1.5e-6, 1e9; "-" where there is none."""
    if x is None or x != x:
        return "-"
    if math.isinf(x):
        return "inf" if x > 0 else "-inf"
    if x == 0:
        return "0"
    if abs(x) > _LARGEST:  # four digits of it are more than a float holds
        return f"{math.copysign(1.797, x)}e308"
    x = float(f"{x:.4g}") if abs(x) < 1e4 else float(round(x)) if abs(x) < _LARGE else float(f"{x:.4g}")
    if _SMALL <= abs(x) < _LARGE:
        return _trimmed(f"{x:.{max(3 - _order(x), 0)}f}")
    digits, _, order = f"{x:.3e}".partition("e")
    return f"{_trimmed(digits)}e{int(order)}"


def numbers(values: Iterable[float | None]) -> str:
    """Several, with blanks between them."""
    return " ".join(number(x) for x in values)


def of_seeds(values: Sequence[float | None]) -> str:
    """One for each seed; of many the lowest and the highest, as nobody reads a line of hundreds."""
    if len(values) <= MOST_SEEDS:
        return f"seeds: {numbers(values)}"
    known = [x for x in values if x is not None and x == x]
    return f"{len(known):,} seeds: {number(min(known))} to {number(max(known))}, each in summary.json"


def exact(x: float) -> str:
    """A number that somebody chose, as a threshold, with all of its digits: 475, 0.7, -110.25, 1e-6, 1e9."""
    if not math.isfinite(x):
        return number(x)
    if x == round(x) and abs(x) < _LARGE:
        return f"{x + 0.0:.0f}"
    if _SMALL <= abs(x) < _LARGE:
        return repr(float(x))
    return f"{Decimal(repr(float(x))).normalize():e}".replace("e+", "e")


def interval(value: float, low: float, high: float, *, signed: bool = False, digits: int | None = None) -> str:
    """An estimate: +41 [12, 66], 1.2e-6 [0.9e-6, 1.5e-6]; "no interval" where the limits are NaN.

    Args:
        value: the estimate.
        low: of its interval, or NaN.
        high: likewise.
        signed: with a plus before what is positive.
        digits: decimal places; None: as many as show two digits of the interval's width, or four of the value where it
            has none.
    """
    if value != value:
        return "-"
    if math.isnan(low) or math.isnan(high):
        text = number(value) if digits is None else f"{_clean(value, digits):.{digits}f}"
        return f"{'+' * (signed and value > 0)}{text} (no interval)"
    largest = max(abs(x) for x in (value, low, high))
    order, unit = 0, ""
    if digits is None:
        if largest and math.isfinite(largest) and not _SMALL <= largest < _LARGE:
            order = _order(largest)
            unit = f"e{order}"
        value, low, high = (_scaled(x, order) for x in (value, low, high))
        digits = decimals(value, low, high)
    texts = [f"{_clean(x, digits):.{digits}f}{unit}" for x in (value, low, high)]
    plus = "+" * (signed and _clean(value, digits) >= 0)
    return f"{plus}{texts[0]} [{texts[1]}, {texts[2]}]"


def decimals(value: float, low: float, high: float) -> int:
    """Decimal places at which an interval's width has two digits; where it has no width, its value four."""
    if not high > low and value == round(value):
        return 0
    width = high - low if high > low and math.isfinite(high - low) else abs(value) / 100
    largest = max(abs(x) for x in (value, low, high) if math.isfinite(x))
    if not width:
        return 0
    most = max(6 - _order(largest), 0)  # seven digits are enough of any number
    digits = min(max(1 - _order(width), 0), most)
    for more in range(digits, most + 1):  # a limit just off zero must not read as zero
        if all(round(x, more) or not x for x in (low, high)):
            return more
    return digits


def _scaled(x: float, order: int) -> float:
    """x / 10**order, without leaving what floats can hold on the way."""
    digits, _, own = f"{x:.17e}".partition("e")
    return float(f"{digits}e{int(own) - order}") if order and math.isfinite(x) else x


def _order(x: float) -> int:
    """The power of ten of the first digit: 2 for 187.3, -3 for 0.00125."""
    return int(f"{abs(x):e}".partition("e")[2])


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _clean(x: float, digits: int) -> float:
    """Rounded, without a minus sign before zero."""
    return round(x, digits) + 0.0
