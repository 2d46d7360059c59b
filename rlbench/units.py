"""How times and sizes are written, everywhere: 3m05s, 1.2 GiB. Beside `numbers`, which writes returns.

Imports nothing heavy.
"""

_PARTS = ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s"))  # seconds of a unit, and of the next
LATENCIES = {"us": 1e-6, "ms": 1e-3, "s": 1.0}  # seconds of each unit that users may name for what takes little time
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}  # of each unit that users may name


def duration(seconds: float, *, coarse: bool = False, tenths: bool = False) -> str:
    """Seconds as 42s, 3m05s, 2h14m or 4d03h; what is below zero is 0s.

    Args:
        seconds: finite.
        coarse: the first part alone, cut off and not rounded: 3m, 2h, 4d.
        tenths: below a minute with a tenth, for what may last less than a second: 0.4s, 12.3s.
    """
    seconds = max(seconds, 0.0)
    if tenths and seconds < 59.95:
        return f"{seconds:.1f}s"
    whole = int(seconds) if coarse else round(seconds)
    for size, unit, part, small in _PARTS:
        if whole >= size:
            return f"{whole // size:,}{unit}" + ("" if coarse else f"{whole % size // part:02}{small}")
    return f"{whole}s"


def latency(seconds: float) -> str:
    """Seconds, of which there are few, with three digits: 850 ns, 38.7 us, 1.25 ms, 2.10 s."""
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= 0.9995 * size:
            value = seconds / size
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def byte_size(count: float) -> str:
    """Bytes as 2.5 GiB, 98.0 MiB or 12 KiB: a unit begins at a tenth of it."""
    for power, unit in ((2**30, "GiB"), (2**20, "MiB")):
        if count >= 0.1 * power:
            return f"{count / power:,.1f} {unit}"
    return f"{count / 2**10:.0f} KiB"
