"""Rows about values: is what an agent learns of small environments what is known of them?

What is asked, and the answers, stand in `probes`; how, in `asking`.
"""

from ..probing.answers import LeftOut
from ..probing.rows import row
from ..probing.subject import Subject
from . import probes
from .asking import ask
from .known import Form

GROUP, LIMIT = "values", 60.0
_OF_ONE_STEP = (
    "the loss, its sign, or the optimiser's step; or what is learned from is not what was seen, done and paid: "
    "observations, rewards or targets are changed on the way, or an action is never tried"
)


@row("constant-reward", "of one step that pays 1 the value is 1", group=GROUP, limit=LIMIT, quick=False)
def constant_reward(subject: Subject) -> None:
    ask(subject, probes.CONSTANT, 0.2, cause=_OF_ONE_STEP)


@row("observed-reward", "values depend on what is seen, and not in a straight line", group=GROUP, limit=LIMIT)
def observed_reward(subject: Subject) -> None:
    cause = "observations do not reach the values as they were seen, units are dead from the first, layers have no "
    cause += "activation between them, or targets lie beside other steps than theirs"
    ask(subject, probes.OBSERVED, 0.3, cause=cause)


@row("delayed-reward", "what comes later is worth its discount, step by step", group=GROUP, limit=LIMIT)
def delayed_reward(subject: Subject) -> None:
    ask(subject, probes.DELAYED, 0.15, cause="the discount, or its exponent")


@row(
    "rewarded-action",
    "it does what is paid for, and knows the values of both actions",
    group=GROUP,
    limit=LIMIT,
    quick=False,
)
def rewarded_action(subject: Subject) -> None:
    ask(
        subject, probes.ACTED, 0.3, acts=True, cause="the sign of the policy's loss, or another action's value is moved"
    )


@row("observed-action", "it does what is paid for where it stands", group=GROUP, limit=LIMIT)
def observed_action(subject: Subject) -> None:
    cause = "observations, actions and rewards of different steps are learned from together"
    ask(subject, probes.BOTH, 0.4, acts=True, cause=cause)


@row("termination", "nothing is counted on after a termination", group=GROUP, limit=LIMIT)
def termination(subject: Subject) -> None:
    ask(subject, probes.TERMINATED, 0.3, cause="what follows a termination is counted on: mask it by `terminated`")


@row("time-limit", "what follows a time limit is counted on: it is no termination", group=GROUP, limit=LIMIT)
def time_limit(subject: Subject) -> None:
    ask(subject, probes.CUT, 0.35, cause="an end by `truncated` is not told from one by `terminated`")


@row(
    "timed-episode",
    "values of an episode of known length are right at each of its steps",
    group=GROUP,
    limit=LIMIT,
    quick=False,
)
def timed_episode(subject: Subject) -> None:
    ask(subject, probes.TIMED, 0.3, cause="rewards are summed up in the wrong order, or discounted by wrong powers")


@row("n-step", "values are the same where several steps of reward are summed up", group=GROUP, limit=LIMIT, quick=False)
def n_step(subject: Subject) -> None:
    if not subject.has("n_step"):
        raise LeftOut("it has no hyper-parameter n_step")
    cause = "the discount at the end of a window is of another power than its steps, or windows reach beyond an end"
    for known, tolerance in ((probes.TIMED, 0.3), (probes.CUT, 0.35)):
        ask(subject, known, tolerance, n_step=3, cause=cause)


@row(
    "worth-waiting",
    "a larger reward later is preferred where its discounted worth is larger",
    group=GROUP,
    limit=LIMIT,
    quick=False,
)
def worth_waiting(subject: Subject) -> None:
    cause = "the value of what follows is not that of the best action there, or not counted on"
    ask(subject, probes.WAITING, 0.5, acts=True, values=False, cause=cause)


@row("branches", "where chance decides what follows, values are means", group=GROUP, limit=LIMIT, quick=False)
def branches(subject: Subject) -> None:
    cause = "the loss is not the squared error, or its gradient goes through the target"
    ask(subject, probes.BRANCHED, (0.25, 0.12, 0.12), cause=cause)


@row("large-rewards", "rewards of 10 have values of 10", group=GROUP, limit=LIMIT, quick=False)
def large_rewards(subject: Subject) -> None:
    cause = "rewards are clipped, or scaled and not scaled back in what is explained"
    ask(subject, probes.LARGE, 2.5, cause=cause, updates=6_000)  # it is a long way there for clipped gradients


@row("pixels", "values are right where it sees images", group=GROUP, limit=LIMIT, quick=False)
def pixels(subject: Subject) -> None:
    subject.fitting("pixels")
    _seen_as(subject, "pixels", "images do not reach the network as they were seen")


@row("indices", "values are right where states are numbered", group=GROUP, limit=LIMIT, quick=False)
def indices(subject: Subject) -> None:
    subject.fitting("indices")
    _seen_as(subject, "index", "indices do not reach the network as they were seen")


def _seen_as(subject: Subject, form: Form, cause: str) -> None:
    """Values, which are learned sooner than what to do; or that, of who says none."""
    try:
        ask(subject, probes.OBSERVED, 0.4, form=form, cause=cause)
    except LeftOut:
        ask(subject, probes.BOTH, 0.4, form=form, acts=True, values=False, cause=cause)


@row(
    "masked-values",
    "an action that is forbidden where an action leads is not counted on there",
    group=GROUP,
    limit=LIMIT,
    quick=False,
)
def masked_values(subject: Subject) -> None:
    if "action_mask" not in subject.cls.wants:
        raise LeftOut("it makes no use of masks")
    ask(subject, probes.MASKED, 0.5, cause="the largest value of all actions is taken, the forbidden ones among them")
