"""Sine and cosine, against sixty digits."""

import decimal
import math
from decimal import Decimal

import numpy as np
import pytest
import torch
from conftest import slow

from rlbench.worlds import trig

PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899863")


def sine_cosine(x: float) -> tuple[Decimal, Decimal]:
    """By their series, of what is left of a multiple of pi/2."""
    with decimal.localcontext(prec=70):
        quarters = (Decimal(x) * 2 / PI).to_integral_value()
        rest = Decimal(x) - quarters * PI / 2
        sums = []
        for term, k in ((rest, 1), (Decimal(1), 0)):
            total = term
            while abs(term) > Decimal(10) ** -60:
                term = -term * rest * rest / ((k + 1) * (k + 2))
                total, k = total + term, k + 2
            sums.append(total)
        s, c = sums
        return ((s, c), (c, -s), (-s, -c), (-c, s))[int(quarters) % 4]


def errors(found: torch.Tensor, angles: torch.Tensor) -> np.ndarray:
    """(2,): the largest of sine and of cosine, in units of the true value's last place."""
    worst = [Decimal(0), Decimal(0)]
    for i, x in enumerate(angles.tolist()):
        for row, true in enumerate(sine_cosine(x)):
            unit = Decimal(math.ulp(float(true)))
            worst[row] = max(worst[row], abs(Decimal(found[row, i].item()) - true) / unit)
    return np.array(worst, np.float64)


def near(x: torch.Tensor) -> torch.Tensor:
    return trig.near(torch.stack((x, torch.ones_like(x))), x, trig.terms(trig.SINE, trig.COSINE))


@pytest.mark.parametrize(("reach", "sine", "cosine"), [(0.2095, 0.55, 0.55), (trig.WITHIN, 0.75, 1.2)])
@pytest.mark.parametrize("n", [2000, slow(30_000)])
def test_near_zero(reach: float, sine: float, cosine: float, n: int) -> None:
    ends = [reach, -reach, 0.0, 1e-300, -1e-9, 1e-4]
    x = torch.tensor(np.append(np.random.default_rng(0).uniform(-reach, reach, n), ends))
    assert (errors(near(x), x) <= (sine, cosine)).all()


@pytest.mark.parametrize(("reach", "most"), [(math.pi, 1.4), (30.0, 1.4), (1000.0, 1.4), (trig.REACH, 4.0)])
@pytest.mark.parametrize("n", [2000, slow(30_000)])
def test_anywhere(reach: float, most: float, n: int) -> None:
    """The hardest are next to multiples of pi/2, where nearly all digits cancel."""
    seams = np.arange(-400, 400) * np.pi / 2
    hard = np.concatenate([seams, np.nextafter(seams, 9e9), np.nextafter(seams, -9e9)])
    x = np.append(np.random.default_rng(0).uniform(-reach, reach, n), hard[np.abs(hard) <= reach])
    angles = torch.from_numpy(x)
    assert (errors(trig.SinCos()(angles), angles) <= most).all()


def test_what_only_keeps_its_place_is_kept() -> None:
    x = torch.linspace(-0.7, 0.7, 50, dtype=torch.float64)
    anything = torch.randn(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = trig.near(torch.stack((anything, x)), x, trig.terms(trig.ITSELF, trig.SINE))
    assert torch.equal(found[0], anything)
    assert torch.equal(found[1], near(x)[0])


def test_any_shape() -> None:
    x = torch.linspace(-9, 9, 24, dtype=torch.float64)
    assert torch.equal(trig.SinCos()(x.reshape(2, 3, 4)).reshape(2, 24), trig.SinCos()(x))
