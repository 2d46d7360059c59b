"""Times and sizes as they are printed, at the ends of every range."""

import pytest

from rlbench.units import byte_size, duration, latency


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


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ns"),
        (7e-8, "70 ns"),
        (9.994e-7, "999 ns"),
        (9.996e-7, "1.00 us"),
        (7.804e-6, "7.80 us"),
        (38.71e-6, "38.7 us"),
        (99.96e-6, "100 us"),
        (999.4e-6, "999 us"),
        (999.6e-6, "1.00 ms"),
        (0.0042, "4.20 ms"),
        (2.1, "2.10 s"),
        (75.0, "75.0 s"),
    ],
)
def test_what_takes_little_time_has_three_digits(seconds: float, text: str) -> None:
    assert latency(seconds) == text
