"""`python -m rlbench.cells [ORDER.json]`: carry out one cell. Without a file the order comes on standard input."""

import signal
import sys
from pathlib import Path

from ..process.orphans import named_parent, when_the_parent_dies
from .order import Order


def main() -> int:
    """The process's exit code."""
    when_the_parent_dies(signal.SIGTERM, named_parent())  # at once: importing takes seconds
    text = Path(sys.argv[1]).read_text(encoding="utf-8") if len(sys.argv) > 1 else sys.stdin.read()
    order = Order.from_json(text)
    from .life import live  # slow to import

    return live(order)


if __name__ == "__main__":
    sys.exit(main())
