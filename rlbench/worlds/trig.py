"""Sine and cosine of float64 by +, -, * and rounding to whole numbers: the same bits on every device.

Those of the C library, of NumPy and of CUDA differ in the last place, and in a batch from those alone. Here each
operation rounds as IEEE 754 lays down, and none of them is fused with another.

Sources: the coefficients are those of fdlibm's ``k_sin.c`` and ``k_cos.c``, and the parts of pi/2 those of its
``e_rem_pio2.c`` (Sun Microsystems 1993, "Freely Distributable LIBM"); the reduction is that of Cody and Waite 1980,
"Software Manual for the Elementary Functions". Sums are taken in pairs (Estrin 1960), which takes fewer operations.
"""

import copy
from typing import Self

import torch
from torch import Tensor

# sin x = x + x * (SINE[1] * x**2 + SINE[2] * x**4 + ...), cos x = 1 + 1 * (COSINE[1] * x**2 + ...)
SINE = (
    0.0, -1.66666666666666324348e-01, 8.33333333332248946124e-03, -1.98412698298579493134e-04,
    2.75573137070700676789e-06, -2.50507602534068634195e-08, 1.58969099521155010221e-10, 0.0,
)  # fmt: skip
COSINE = (
    0.0, -0.5, 4.16666666666666019037e-02, -1.38888888888741095749e-03, 2.48015872894767294178e-05,
    -2.75573143513906633035e-07, 2.08757232129817482790e-09, -1.13596475577881948265e-11,
)  # fmt: skip
ITSELF = (0.0,) * 8  # of what only keeps its place among them

WITHIN = 0.785398163397448279  # the largest angle that `near` takes: pi/4, rounded down
REACH = 2.0**20  # of `sin_cos`, in radians: beyond it a multiple of pi/2 is no longer exact

_QUARTERS = 6.36619772367581382433e-01  # 2 / pi
# pi/2 = the sum; the first two have 33 bits, so that up to 2**20 times each is a float64
PARTS = (1.57079632673412561417e00, 6.07710050630396597660e-11, 2.02226624879595063154e-21)


def terms(*rows: tuple[float, ...]) -> Tensor:
    """What `near` takes, (2, 4, r): the coefficients of even and of odd place, for each of ``rows``."""
    return torch.tensor(rows, dtype=torch.float64).T.reshape(4, 2, -1).transpose(0, 1).contiguous()


def near(base: Tensor, angle: Tensor, terms: Tensor, left: Tensor | None = None) -> Tensor:
    """Functions of angles within pi/4, all of them at once; 11 operations.

    Args:
        base: (r, *n): for `SINE` the angle, for `COSINE` 1, for `ITSELF` anything.
        angle: (*n), between -`WITHIN` and `WITHIN`.
        terms: from `terms`, for each of the r rows.
        left: (r, *n), what is to be added, far smaller.

    Returns:
        (r, *n): sines within 0.75 units in the last place, cosines within 1.2; of angles within 12 degrees, 0.55.
    """
    even, odd = terms.reshape(*terms.shape, *[1] * angle.dim()).unbind()  # (4, r, 1...)
    square = angle * angle
    fourth = square * square
    pairs = even + odd * square  # (4, r, *n)
    quads = pairs[0::2] + pairs[1::2] * fourth  # (2, r, *n)
    more = base * (quads[0] + quads[1] * (fourth * fourth))
    return base + (more if left is None else more + left)


class SinCos:
    """Sine and cosine of any angles up to `REACH`; 30 operations."""

    def __init__(self) -> None:
        self._terms = terms(SINE, COSINE)
        self._one = torch.ones((), dtype=torch.float64)
        # by the quarter: (sine, cosine) from those of the rest, as (2, 2, 4)
        turned = [[[1, 0, -1, 0], [0, 1, 0, -1]], [[0, -1, 0, 1], [1, 0, -1, 0]]]
        self._turned = torch.tensor(turned, dtype=torch.float64)

    def to(self, device: torch.device) -> Self:
        """The same with its constants on ``device``."""
        found = copy.copy(self)
        for name, value in vars(self).items():
            setattr(found, name, value.to(device))
        return found

    def __call__(self, angle: Tensor) -> Tensor:
        """(2, *n) of angles (*n): sine, cosine, within 1.4 units in the last place up to 1,000, and 4 up to `REACH`."""
        quarters = torch.round(angle * _QUARTERS)
        whole, second = angle - quarters * PARTS[0], quarters * PARTS[1]  # both exact
        rest = whole - second
        left = ((whole - rest) - second) - quarters * PARTS[2]  # what rounding took from the rest
        base = torch.stack((rest, self._one.expand_as(rest)))
        both = near(base, rest, self._terms, torch.stack((left, -(rest * left))))  # (2, *n)
        quarter = quarters.long() & 3
        turned = self._turned.index_select(2, quarter.reshape(-1)).reshape(2, 2, *angle.shape)
        sine, cosine = (turned * both).unbind(1)
        return sine + cosine
