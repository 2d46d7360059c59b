"""Rows about exploration: there at first, gone when the configuration says, each env's own, none if greedy."""

import torch
from torch import Tensor

from ..probing.answers import Fails, LeftOut
from ..probing.rows import row
from ..probing.states import difference
from ..probing.subject import Subject
from ..probing.trial import Trial

GROUP = "exploration"
SIGMAS = 5.5  # how far from what is expected counts as wrong: chance is further once in thirty million


def drawn(trial: Trial, envs: int, times: int) -> tuple[Tensor, Tensor]:
    """What it does ``times`` times where it sees the same, exploring, (times, S, E, ...), and greedily, (S, E, ...)."""
    obs = trial.look(envs)
    greedy = trial.act(obs)
    return torch.stack([trial.act(obs, explore=True) for _ in range(times)]), greedy


def left(actions: Tensor, greedy: Tensor) -> Tensor:
    """(times, S, E) float64: by how much actions are others than the greedy ones; 0 or 1 of indices."""
    apart = (actions.double() - greedy.double()).reshape(*actions.shape[:3], -1)
    return (apart != 0).any(-1).double() if not actions.is_floating_point() else apart[..., 0]


@row("explores", "it explores at first", group=GROUP)
def explores(subject: Subject) -> None:
    for place in subject.places():
        trial = subject.trial(place, num_envs=4)
        actions, _ = drawn(trial, 4, 50)
        for s in range(2):
            own = actions[:, s]
            if bool((own == own[0]).all()):
                _as_it_says(subject, trial, place)
                met = torch.stack([step.transition.action[s] for step in trial.go(100)])  # (100, E, ...)
                if bool((met == met[0, 0]).all()):
                    raise Fails(
                        f"Expected different actions of seed {s} while exploring, came the same one in all of 50 looks "
                        f"at the same and in 100 steps, on {subject.described(place)}.",
                        "act does not heed explore",
                    )
    if subject.has("epsilon_start", "epsilon_steps") and subject.trial().spec.num_actions:
        _evenly(subject)


def _as_it_says(subject: Subject, trial: Trial, place: str) -> None:
    """Of one that did the same 50 times: it says no chances of doing otherwise."""
    said = trial.explain(trial.look(4))
    likeliest = float(said["probabilities"].amax(-1).min()) if "probabilities" in said else 1.0
    if likeliest < 0.8:
        raise Fails(
            f"Expected different actions while exploring, of which the likeliest is said to have a chance of "
            f"{likeliest:.0%}; came the same one in all of 50 looks at the same, on {subject.described(place)}.",
            "the likeliest action is taken, and none is drawn",
        )


def _evenly(subject: Subject) -> None:
    """Where all actions are drawn, each comes as often."""
    config = subject.config_with(epsilon_start=1.0, epsilon_steps=1_000)
    actions, _ = drawn(subject.trial(num_envs=4, config=config), 4, 75)
    count, chance = actions[:, 0].numel(), 1 / 3
    for a in range(3):
        share, spread = float((actions[:, 0] == a).double().mean()), (chance * (1 - chance) / count) ** 0.5
        if abs(share - chance) > SIGMAS * spread:
            raise Fails(
                f"Expected each of 3 actions in a third of {count} draws with epsilon_start = 1, came action {a} in "
                f"{share:.0%}, before any update.",
                "random actions are not drawn evenly, or not in the share that epsilon says",
            )


@row(
    "explores-as-told", "exploration falls in the env steps that the configuration says, to where it says", group=GROUP
)
def explores_as_told(subject: Subject) -> None:
    exactly = subject.has("epsilon_end", "epsilon_steps")
    if not exactly and not (subject.called("epsilon_steps") or subject.called("epsilon_factor")):
        raise LeftOut("it has no epsilon_end and epsilon_steps of its own, or none under names that are known")
    if not subject.trial().spec.num_actions:
        raise LeftOut("it takes no single one of several actions")
    if not exactly:
        _falls(subject)
        return
    if _decays(subject):
        _by_episodes(subject)
        if "epsilon_decay" in subject.given:
            return  # where it is by episodes, it is by no steps
    steps = 120
    start = {"epsilon_start": 1.0} if subject.has("epsilon_start") else {}
    start |= {"epsilon_decay": 0.0} if _decays(subject) else {}
    config = subject.config_with(epsilon_end=0.0, epsilon_steps=steps, **start)
    for envs in (1, 3):
        trial = subject.trial(num_envs=envs, config=config)
        for at, expected in ((steps // 2, 1 / 3), (steps + 2 * envs, 0.0)):
            trial.go((at - trial.env_steps) // envs)
            looks = 300 // envs
            actions, greedy = drawn(trial, envs, looks)
            share = float(left(actions, greedy).mean())
            spread = (expected * (1 - expected) / (2 * looks * envs)) ** 0.5
            if abs(share - expected) > SIGMAS * spread:
                raise Fails(
                    f"Expected other than greedy actions in {expected:.0%} of cases at env step {trial.env_steps}, "
                    f"where epsilon goes from 1 to 0 in {steps} steps and E = {envs}, came {share:.0%}, after "
                    f"{trial.updates} updates.",
                    "epsilon does not fall, or counts something else than env steps of a seed",
                )


def _decays(subject: Subject) -> bool:
    """Whether it has an epsilon_decay as the project has it: what epsilon is multiplied by at every episode's end, or 0
    where it is not."""
    decay = getattr(subject.config, "epsilon_decay", None)
    given = "epsilon_decay" in subject.given
    return isinstance(decay, int | float) and (decay == 0 or (given and 0 < decay < 1))


def _by_episodes(subject: Subject) -> None:
    decay = 0.8
    fast = {"epsilon_start": 1.0, "epsilon_end": 0.0, "epsilon_decay": decay}
    changes = {name: value for name, value in fast.items() if hasattr(subject.config, name)}
    trial = subject.trial(num_envs=1, config=subject.config_with(**changes))
    ended = torch.zeros(2, 1)  # (S, E)
    for _ in range(16):
        one = trial.step().transition
        ended += (one.terminated | one.truncated).float()
    expected = decay ** ended[:, 0] * 2 / 3  # (S,), of 3 actions
    actions, greedy = drawn(trial, 1, 400)
    share = left(actions, greedy).flatten(2).mean((0, 2))  # (S,)
    off = (share - expected).abs() - SIGMAS * (expected * (1 - expected) / 400).sqrt()
    s = int(off.argmax())
    if off[s] > 0:
        raise Fails(
            f"Expected other than greedy actions in {float(expected[s]):.0%} of cases after {int(ended[s])} episodes, "
            f"where each takes epsilon from 1 to {decay:g} of itself, came {float(share[s]):.0%}, "
            f"{subject.whereabouts()}.",
            "epsilon_decay is not heeded at every end of an episode, by a termination as by a time limit",
        )


def _falls(subject: Subject) -> None:
    """Epsilon falls in some way, under other names than ours: whether by steps or by episodes is not known."""
    fast = {"epsilon_steps": 40, "epsilon_factor": 0.8, "epsilon_start": 1.0, "epsilon_end": 0.0}
    changes = {field: value for name, value in fast.items() if (field := subject.called(name))}
    trial = subject.trial(num_envs=1, config=subject.config_with(**changes))
    shares = []
    for steps in (0, 600):  # 600 are 85 episodes at least, and 0.8 to the power of 85 is 6e-9
        trial.go(steps)
        actions, greedy = drawn(trial, 1, 200)
        shares.append(float(left(actions, greedy).mean()))
    if shares[1] > 0.3 and shares[1] > 0.6 * shares[0]:
        said = ", ".join(f"{field} = {value:g}" for field, value in changes.items())
        raise Fails(
            f"Expected exploration to fall, with {said}; came other than greedy actions in {shares[0]:.0%} of cases at "
            f"first, and in {shares[1]:.0%} at env step {trial.env_steps}, after {trial.updates} updates.",
            "epsilon does not fall",
        )


@row("own-coins", "every env and every seed explores by numbers of its own", group=GROUP)
def own_coins(subject: Subject) -> None:
    half = {"epsilon_start": 0.5, "epsilon_end": 0.5, "epsilon_factor": 1.0}
    if subject.has("epsilon_steps"):
        half["epsilon_steps"] = 0
    config = subject.config_with(**{field: x for name, x in half.items() if (field := subject.called(name))})
    looks, envs = 300, 3
    place = subject.places()[0]
    trial = subject.trial(place, seeds=(0, 1, 2), num_envs=envs, config=config)
    actions, greedy = drawn(trial, envs, looks)
    x = left(actions, greedy).flatten(1)  # (looks, S * E)
    x = (x - x.mean(0)) / x.std(0)
    alike = (x.T @ x / (looks - 1)).nan_to_num(0.0)  # correlations; of what never changes there is none
    if not bool((alike.diagonal() > 0).any()):
        raise LeftOut("what it does at first does not change while it sees the same")
    alike.fill_diagonal_(0.0)
    for i, j in (alike > 0.45).nonzero().tolist():  # the first pair is named
        (s, e), (t, f) = divmod(i, envs), divmod(j, envs)
        whom = f"env {e} and env {f} of a seed" if s == t else f"env {e} of seed {s} and env {f} of seed {t}"
        raise Fails(
            f"Expected {whom} to explore independently, came a correlation of {float(alike[i, j]):.2f} over {looks} "
            f"looks on {subject.described(place)}, before any update.",
            "one random number decides for all envs" if s == t else "one random number decides for all seeds",
        )


@row("greedy-is-fixed", "without exploring, it does the same where it sees the same", group=GROUP)
def greedy_is_fixed(subject: Subject) -> None:
    for place in subject.places():
        trial = subject.trial(place)
        trial.go(20)
        obs = trial.look(6)
        first, again = trial.act(obs), trial.act(obs)
        if not torch.equal(first, again):
            if not trial.held()["agent"]:
                raise LeftOut("it has no state, and so nothing to be greedy about")
            raise Fails(
                f"Expected the same actions twice from act(explore=False), came others for "
                f"{int((first != again).sum())} of {first.numel()}, {subject.whereabouts()}.",
                "the best action is drawn at random: take the most likely one, or the mean",
            )


@row("greedy-leaves-no-trace", "act without exploring, explain and diagnostics change nothing it holds", group=GROUP)
def greedy_leaves_no_trace(subject: Subject) -> None:
    for place in subject.places():
        trial = subject.trial(place)
        drawn_from = trial.streams.state_dict()
        trial.go(40)
        before = trial.held()
        used = {name for name, position in before["streams"].items() if position != drawn_from.get(name, 0)}
        for name in ("act(explore=False)", "explain", "diagnostics"):
            if name == "explain":
                trial.explain(trial.look(2))
            elif name == "diagnostics":
                trial.agent.diagnostics()
            else:
                for envs in (1, 5, 2):
                    trial.act(trial.look(envs, envs))
            after = trial.held()
            for state in (before, after):
                state["streams"] = {key: x for key, x in state["streams"].items() if key in used}
            if found := difference(before, after):
                raise Fails(
                    f"Expected {name} to change nothing, {found}, {subject.whereabouts()}.",
                    "it draws from a stream of training's, or counts, normalises or remembers what it is only asked",
                )


@row("evaluation", "what is learned is the same with evaluations and without", group=GROUP)
def evaluation(subject: Subject) -> None:
    for place, config in subject.variants():
        seen, unseen = (subject.trial(place, config=config) for _ in range(2))
        for i in range(6 if subject.quick else 9):
            ours, theirs = seen.go(5), unseen.go(5)
            for one, other in zip(ours, theirs, strict=True):
                if not torch.equal(one.transition.action, other.transition.action):
                    expected = "Expected the same actions with evaluations and without, came others"
                    raise Fails(f"{expected}, {subject.whereabouts()}.", CAUSE)
            for salt, envs in enumerate((5, 1)):
                obs = seen.look(envs, salt + i)
                seen.act(obs)
                seen.act(seen.look(envs, 99), begin=False)
                seen.explain(obs)
            seen.agent.diagnostics()
            seen.agent.state_dict()
        due, came = unseen.held(), seen.held()
        for name in came["streams"].keys() - due["streams"].keys():  # evaluations may draw from their own
            del came["streams"][name]
        if found := difference(due, came):
            raise Fails(
                f"Expected the same state with evaluations and without, {found}, {subject.whereabouts()}.", CAUSE
            )


CAUSE = "act(explore=False), explain or diagnostics leave something behind: memory, a counter, moments, random numbers"
