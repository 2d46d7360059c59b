"""The numbers of a comparison, as plain data: for tables, pages and JSON."""

from typing import NamedTuple, Protocol

from ..stats.estimates import Aggregates, Difference, Estimate
from .evidence import Score
from .scales import Reference
from .verdict import Outcome


class Attainment(NamedTuple):
    """Who reached a return in a greedy evaluation, and when."""

    threshold: float
    reached: int
    seeds: int
    share: Estimate  # of the seeds, with Wilson's interval
    median_steps: float  # env steps by which half had, by Kaplan and Meier; infinite if that never happened


class AgentResult(NamedTuple):
    """One contestant on one environment, or over all."""

    label: str
    seeds: int
    scores: tuple[float, ...]  # of the seeds; normalised where the table is over several environments
    aggregates: Aggregates  # of ``scores``
    optimality_gap: Estimate | None  # of the normalised scores; None where there is no scale
    auc: Estimate | None  # IQM over seeds of the mean return while learning; None over all
    attainment: Attainment | None  # None over all, or where no return counts as solved
    episodes: tuple[int, ...] = ()  # greedy ones that the score of each seed rests on; () where that is not known


class Contrast(NamedTuple):
    """A contestant against the first one."""

    label: str
    baseline: str
    difference: Difference
    p_holm: float  # adjusted for the number of contestants
    more_seeds: float  # per agent, that would show the difference seen four times of five; infinite: none is seen
    outcome: Outcome
    sentence: str


class EnvTable(NamedTuple):
    """One environment, or all."""

    env: str
    reference: Reference | None  # None over all
    agents: tuple[AgentResult, ...]  # the first is the baseline
    contrasts: tuple[Contrast, ...]  # of the others


class Compared(Protocol):
    """A `comparison.Comparison`, as far as it is shown."""

    @property
    def score(self) -> Score: ...

    @property
    def confidence(self) -> float: ...

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def tables(self) -> tuple[EnvTable, ...]: ...

    @property
    def overall(self) -> EnvTable | None: ...

    @property
    def verdicts(self) -> tuple[str, ...]: ...

    @property
    def differences(self) -> tuple[str, ...]: ...

    @property
    def warnings(self) -> tuple[str, ...]: ...

    @property
    def notes(self) -> tuple[str, ...]: ...
