"""The numbers of contestants as a heat map: what each reached on each environment, and where there is nothing yet."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from ..judge.evidence import Score
from ..judge.results import EnvTable
from ..plots.heatmap import NO_SCALE, HeatMap, Square

SCORES = {
    "final": "IQM of final greedy returns",
    "best": "IQM of the best weights' greedy returns",
    "auc": "IQM of mean greedy returns while learning",
}


def heat_map(
    tables: Sequence[EnvTable],
    overall: EnvTable | None = None,
    *,
    labels: Sequence[str],
    envs: Sequence[str],
    score: Score = "final",
    words: Mapping[tuple[str, str], str] = MappingProxyType({}),
) -> HeatMap:
    """What a heat map shows.

    Args:
        tables: of single environments; each holds the contestants that have a score there.
        overall: over all environments that every contestant has, if there are several.
        labels: of all contestants, the baseline first.
        envs: all environments.
        score: what stands for a seed.
        words: what there is to say of a contestant on an environment: why it has no score, or what is still missing.
    """
    squares = {
        (label, env): Square(np.nan, None, words.get((label, env), "no run")) for label in labels for env in envs
    }
    for table in tables:
        assert table.reference is not None
        for agent in table.agents:
            found = agent.aggregates.iqm
            if not table.reference.known:
                squares[agent.label, table.env] = Square(np.nan, found, NO_SCALE)
                continue
            value = float(table.reference.normalise(np.array([found.value]))[0])  # an IQM moves with its scale
            squares[agent.label, table.env] = Square(value, found, words.get((agent.label, table.env), ""))
    whole = {}
    over = "all environments"
    if overall is not None:
        count = sum(1 for env in envs if all(squares[a.label, env].raw is not None for a in overall.agents))
        over = "all environments" if count == len(envs) else f"{count} of {len(envs)} environments"
        for agent in overall.agents:
            found = agent.aggregates.iqm
            limits = "" if np.isnan(found.low) else f"[{found.low:.2f}, {found.high:.2f}]".replace("-", "−")
            whole[agent.label] = Square(found.value, None, limits)
    return HeatMap(tuple(labels), tuple(envs), squares, whole, over, SCORES[score])
