"""Times and sizes as they are printed, at the ends of every range."""

import pytest

from rlbench.units import byte_size, duration


@pytest.mark.parametrize(
    ("seconds", "text", "coarse"),
    [
        (-3.0, "0s", "0s"),
        (0.4, "0s", "0s"),
        (41.7, "42s", "41s"),
        (59.4, "59s", "59s"),
        (59.6, "1m00s", "59s"),
        (185, "3m05s", "3m"),
        (3599.6, "1h00m", "59m"),
        (2 * 3600 + 14 * 60 + 59, "2h14m", "2h"),
        (86399, "23h59m", "23h"),
        (4 * 86400 + 3 * 3600, "4d03h", "4d"),
        (1200 * 86400, "1,200d00h", "1,200d"),
    ],
)
def test_durations(seconds: float, text: str, coarse: str) -> None:
    assert duration(seconds) == text
    assert duration(seconds, coarse=True) == coarse


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0s"), (0.4, "0.4s"), (12.34, "12.3s"), (59.94, "59.9s"), (59.96, "1m00s")]
)
def test_short_durations_have_tenths(seconds: float, text: str) -> None:
    assert duration(seconds, tenths=True) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (300, "0 KiB"),
        (12 * 2**10, "12 KiB"),
        (0.1 * 2**20, "0.1 MiB"),
        (2e6, "1.9 MiB"),
        (98 * 2**20, "98.0 MiB"),
        (2.5 * 2**30, "2.5 GiB"),
        (1500 * 2**30, "1,500.0 GiB"),
    ],
)
def test_sizes(count: float, text: str) -> None:
    assert byte_size(count) == text
