"""Who proposes the next trial: Optuna's samplers by name, seeded by the number of each trial."""

import difflib
import inspect
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..policyfile.packages import package

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

EXTRA = "tune"
_SEED = 20_240_607  # of all searches: what differs between them is what they are told
#: Of Optuna's samplers: those that are no sampler by themselves, and a grid, which is a sweep.
_NOT = ("BaseSampler", "BaseGASampler", "PartialFixedSampler", "GridSampler")
_NEEDS = {"gp": ("scipy", "torch"), "qmc": ("scipy",)}


def optuna() -> Any:
    """The package, quiet. Raises UsageError that names the extra where it is not installed."""
    module = package("optuna", EXTRA)
    module.logging.set_verbosity(module.logging.ERROR)
    return module


def sampler_names() -> dict[str, str]:
    """Name in a file -> class in `optuna.samplers`: tpe -> TPESampler."""
    samplers = optuna().samplers
    found = {}
    for name, cls in vars(samplers).items():
        if inspect.isclass(cls) and issubclass(cls, samplers.BaseSampler) and name not in _NOT:
            found[re.sub("(es)?Sampler$", r"\1", name).lower()] = name
    return dict(sorted(found.items()))


def check_sampler(name: str, what: str) -> None:
    """Raises UsageError where there is no sampler of that name, or a package that it needs is missing."""
    names = sampler_names()
    if name not in names:
        close = difflib.get_close_matches(name.lower(), names, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise UsageError(f"{what}: unknown sampler {name!r}. Known: {', '.join(names)}.{hint}")
    for module in _NEEDS.get(name, ()):
        package(module, "")
    if name == "cmaes":
        package("cmaes", EXTRA)


def open_sampler(name: str) -> "BaseSampler":
    """The sampler ``name``, as `check_sampler` knows it: what it proposes depends on the trial's number and on the
    trials before, and on nothing else."""
    samplers = optuna().samplers
    if name == "cmaes":
        from .cma import CmaEs  # Optuna's own keeps its state as a pickle, which we never read

        return seeded(lambda seed: CmaEs(seed))
    cls = getattr(samplers, sampler_names()[name])

    def make(seed: int, **more: bool) -> "BaseSampler":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that some are experimental
            return cls(seed=seed, **more)

    if name == "qmc":  # one sequence, of which each trial takes the next point
        return make(_SEED, scramble=True, warn_asynchronous_seeding=False, warn_independent_sampling=False)
    return seeded(make)


def seeded(make: "Callable[[int], BaseSampler]") -> "BaseSampler":
    """A sampler that begins anew with every trial, by a seed of the trial's number: whichever process asks for it.

    Args:
        make: a sampler by its seed.
    """
    from optuna.samplers import BaseSampler

    class Seeded(BaseSampler):
        def __init__(self) -> None:
            self._number, self._sampler = -1, make(_SEED)

        def _of(self, trial: Any) -> BaseSampler:
            if trial.number != self._number:
                self._number, self._sampler = trial.number, make(_SEED + 7919 * trial.number)
            return self._sampler

        def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
            return self._of(trial).infer_relative_search_space(study, trial)

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
            return self._of(trial).sample_relative(study, trial, search_space)

        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
            return self._of(trial).sample_independent(study, trial, param_name, param_distribution)

        def before_trial(self, study: Any, trial: Any) -> None:
            self._of(trial).before_trial(study, trial)

        def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
            self._of(trial).after_trial(study, trial, state, values)

    return Seeded()
