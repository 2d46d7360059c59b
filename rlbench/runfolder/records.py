"""The tables of a run as NumPy records, for programs and notebooks: one record a row, fields named as the columns."""

from typing import Any

import numpy as np

from ..errors import UsageError
from .reader import Reader, sound
from .tables import COLUMNS


class Records(np.recarray):
    """Rows of a table: ``rows["env_steps"]`` or ``rows.env_steps`` is a column, ``rows[rows.seed == 2]`` one seed.

    They stand in the order of env steps, and seeds at the same step in the order of their numbers.
    """

    def to_pandas(self) -> Any:
        """The rows as a pandas DataFrame.

        Raises:
            UsageError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as e:
            raise UsageError("to_pandas needs pandas. Run: pip install 'rlbench[notebook]'") from e
        return pandas.DataFrame({name: np.asarray(self[name]) for name in self.dtype.names or ()})


def records(reader: Reader, table: str) -> Records:
    """A table of a run, whole; of a run under way, what is on the disk by now.

    Args:
        reader: of the run.
        table: one of `tables.COLUMNS`.

    Raises:
        RunFolderError: it is damaged; names the line.
    """
    seeds = sound(reader.table(table))
    kinds = COLUMNS[table]
    # Agents' own columns of updates.csv are numbers; several processes may not know the same ones.
    names = list(dict.fromkeys([*kinds, *(name for columns in seeds.values() for name in columns)]))
    rows = np.empty(
        sum(len(columns["env_steps"]) for columns in seeds.values()),
        [(name, np.int64 if kinds.get(name) == "q" else np.float64) for name in names],
    )
    at = 0
    for columns in seeds.values():
        end = at + len(columns["env_steps"])
        for name in names:
            rows[name][at:end] = columns.get(name, np.nan)
        at = end
    return rows[np.argsort(rows["env_steps"], kind="stable")].view(Records)
