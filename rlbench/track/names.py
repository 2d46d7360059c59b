"""What a run, its numbers and its settings are called where they are shown beside others."""

from pathlib import Path
from typing import Any

import numpy as np

from ..recipe import Recipe
from ..stats.intervals import mean_interval
from .tracker import Numbers


def flat(values: Numbers) -> dict[str, float]:
    """One name for every number: QUANTITY_seed_K, and over the seeds QUANTITY_mean.

    Returns get the 95 % interval of their mean too, as QUANTITY_low and QUANTITY_high, from two seeds on.
    """
    named: dict[str, float] = {}
    for quantity, per_seed in values.items():
        if not per_seed:
            continue
        named |= {f"{quantity}_seed_{seed}": value for seed, value in per_seed.items()}
        numbers = np.array(list(per_seed.values()))
        named[f"{quantity}_mean"] = float(numbers.mean())
        if quantity.endswith("/return") and len(numbers) > 1:
            low, high = mean_interval(numbers)
            named |= {f"{quantity}_low": float(low), f"{quantity}_high": float(high)}
    return named


def hyper_parameters(recipe: Recipe) -> dict[str, Any]:
    """The recipe as flat names and plain values (numbers, booleans, texts), for tables of hyper-parameters."""
    content = recipe.content()
    tables = {f"{table}.{key}": value for table in ("env_kwargs", "hyper") for key, value in content.pop(table).items()}
    return {
        name.removeprefix("hyper."): value if isinstance(value, (bool, int, float, str)) else str(value)
        for name, value in {**content, **tables}.items()
        if value is not None
    }


def run_name(folder: Path) -> str:
    """What a run is called where several stand in one list: the last two parts of its folder's path."""
    return "/".join(folder.resolve().parts[-2:]).lstrip("/")
