"""What a sweep is made of: the cells of a file, each with a name that a person can read."""

from typing import Any, NamedTuple


class Cell(NamedTuple):
    """One run of a sweep.

    Attributes:
        name: of its folder: environment, agent and what varies.
        label: the contestant that it belongs to: its name without environment and first seed.
        env: the environment's name.
        settings: dotted key -> value, all that the file says of it, the base included.
    """

    name: str
    label: str
    env: str
    settings: dict[str, Any]
