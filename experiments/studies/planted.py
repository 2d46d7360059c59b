"""How often a verdict is wrong: agents whose truth is known, because each was trained on very many seeds.

Every agent trains once, on a pool of seeds. An experiment draws a few seeds of one pool and a few others of another (or
of the same one: the same agent twice) and asks for a verdict, which the whole pools then judge.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

#: Short trainings, at whose end seeds differ most.
ENVS = {"CartPole-v1": 3_000, "FrozenLake-v1": 4_000}

#: Changes to the recipe's agent, and what they plant.
AGENTS: dict[str, dict[str, Any]] = {
    "recipe": {},
    "crippled": {"learning_rate": 1e-4},
    "close": {"n_step": 2},
}
PAIRS = (("recipe", "recipe"), ("crippled", "recipe"), ("close", "recipe"))

Pool = dict[str, np.ndarray]  # environment -> (seeds,) greedy returns of the final weights, normalised


class Result(NamedTuple):
    """What came of a pair's experiments."""

    truth: float  # difference of the pools' IQMs
    error: float  # its standard error
    needed: float  # seeds per agent that show it four times of five, by the pools
    outcomes: Counter[str]
    guesses: list[float]  # seeds per agent, as undecided verdicts put it


@click.command()
@click.option("--pool", default=100, show_default=True, help="Seeds that each agent trains on.")
@click.option("--seeds", default="5,10,20", show_default=True, help="Seeds per agent of an experiment.")
@click.option("--repetitions", default=1000, show_default=True, help="Experiments per line.")
@click.option("--workers", default=2, show_default=True, help="Processes to train with.")
def planted(pool: int, seeds: str, repetitions: int, workers: int) -> None:
    """Train agents of known rank on many seeds; count what verdicts on few of these say.

    "same" should be told apart in at most 5 % of all cases; "wrong" counts verdicts of the wrong sign.
    """
    began = time.perf_counter()
    pools = {name: {env: _train(env, changes, pool, workers) for env in ENVS} for name, changes in AGENTS.items()}
    click.echo(f"{len(ENVS) * len(AGENTS)} pools of {pool} seeds trained in {time.perf_counter() - began:.0f} s")
    click.echo(
        f"{'agents':<22}{'environment':<16}{'truth':>16}{'seeds':>7}{'better':>8}{'worse':>7}{'cannot':>8}{'wrong':>7}"
        f"{'enough':>8}{'guessed':>16}"
    )
    for challenger, baseline in PAIRS:
        for envs in (*((env,) for env in ENVS), tuple(ENVS)):
            for n in (int(text) for text in seeds.split(",")):
                result = experiment(pools[challenger], pools[baseline], envs, n, repetitions)
                click.echo(_line(challenger, baseline, envs, n, result))
    click.echo("enough: seeds per agent that show the truth in 80 % of experiments, by the whole pools;")
    click.echo("guessed: the same by verdicts that could not tell, median and quartiles.")


def experiment(
    x: Mapping[str, np.ndarray], y: Mapping[str, np.ndarray], envs: Sequence[str], n: int, reps: int
) -> Result:
    """Draw n seeds of each pool, ask for a verdict, ``reps`` times. No seed is on both sides where x is y."""
    from rlbench.judge.verdict import judge
    from rlbench.stats.estimates import difference, seeds_needed

    rng = np.random.default_rng(0)
    whole = difference([x[env] for env in envs], [y[env] for env in envs])
    outcomes: Counter[str] = Counter()
    guesses = []
    for _ in range(reps):
        ours, theirs = [], []
        for env in envs:
            first, second = rng.permutation(len(x[env])), rng.permutation(len(y[env]))
            ours.append(x[env][first[:n]])
            theirs.append(y[env][(first[n : 2 * n] if x is y else second[:n])])
        d = difference(ours, theirs, reps=2000)
        outcome = judge(d, d.p, ours, theirs, same=False, confidence=0.95, comparisons=1)
        outcomes[outcome] += 1
        if outcome == "undecided":
            guesses.append(seeds_needed(d, n))
    pool = len(x[envs[0]])
    truth = 0.0 if x is y else whole.iqm.value
    return Result(truth, whole.error, seeds_needed(whole, pool) if truth else np.inf, outcomes, guesses)


def _train(env: str, changes: Mapping[str, Any], seeds: int, workers: int) -> np.ndarray:
    import rlbench
    from rlbench.judge.scales import KNOWN, Reference

    with tempfile.TemporaryDirectory() as scratch:
        run = rlbench.train(
            env,
            out=Path(scratch) / "run",
            seeds=seeds,
            total_steps=ENVS[env],
            workers=workers,
            eval_every=0,
            final_eval_episodes=20,
            checkpoint_every=0,
            dqn=dict(changes),
        )
    return Reference(*KNOWN[env], "known").normalise(np.array(list(run.summary["final_eval_return"].values())))


def _line(challenger: str, baseline: str, envs: Sequence[str], n: int, r: Result) -> str:
    total = r.outcomes.total()
    better, worse = r.outcomes["better"] / total, r.outcomes["worse"] / total
    if r.truth == 0:
        names, truth, wrong = f"{baseline} twice", "0", better + worse
    else:
        names, truth = f"{challenger}, {baseline}", f"{r.truth:+.2f} ± {1.96 * r.error:.2f}"
        wrong = worse if r.truth > 0 else better
    enough = f"{r.needed:,.0f}" if np.isfinite(r.needed) else "-"
    guessed = "-"
    if r.guesses and np.isfinite(r.needed):
        low, middle, high = np.quantile(r.guesses, [0.25, 0.5, 0.75], method="lower")
        guessed = f"{middle:.0f} ({low:.0f}-{high:.0f})"
    where = envs[0] if len(envs) == 1 else "all"
    return (
        f"{names:<22}{where:<16}{truth:>16}{n:>7}{better:>8.1%}{worse:>7.1%}{1 - better - worse:>8.1%}{wrong:>7.1%}"
        f"{enough:>8}{guessed:>16}"
    )
