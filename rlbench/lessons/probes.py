"""The tables of the rows of values: what is asked of an agent, and the values that it should find at a discount of 0.8.

The first five are those of rejax (keraJLi/rejax), after Andy Jones, "Debugging RL, Without the Agonizing Pain"
(andyljones.com/posts/rl-debugging.html), but that no straight line through the observations has the second's answers.
Where both actions lead to the same, the values are those of every policy.
"""

from .known import Known, To, both

#: One step, reward 1 whatever is done. Every value is 1.
CONSTANT = Known((both(To(1, 1.0, over=True)), ()))

#: The same, but what is seen at the end is what was seen before, so that whoever counts on what follows an end finds
#: 1 / (1 - 0.8) = 5. The value is 1.
TERMINATED = Known((both(To(0, 1.0, over=True)),))

#: One step; the reward is 1, -1 or 1, by what is seen. Values: these.
OBSERVED = Known(tuple(both(To(s, r, over=True)) for s, r in enumerate((1.0, -1.0, 1.0))), starts=(0, 1, 2))

#: Three steps; reward 1 after the last. Values: 0.8 * 0.8, 0.8, 1.
DELAYED = Known((both(To(1)), both(To(2)), both(To(2, 1.0, over=True))))

#: One step; action 0 pays -1 and action 1 pays 1. Values: these.
ACTED = Known((((To(0, -1.0, over=True),), (To(0, 1.0, over=True),)),))

#: One step; what is seen asks for action 0 or for action 1. Right pays 1, wrong -1. Values: these.
BOTH = Known(
    tuple(tuple((To(s, 1.0 if action == s else -1.0, over=True),) for action in (0, 1)) for s in (0, 1)), starts=(0, 1)
)

#: Two states in turns for ever, rewards 2 and -1, cut by a time limit after 3 steps, which is no part of the task:
#: v0 = 2 + 0.8 v1 and v1 = -1 + 0.8 v0, so v0 = (2 - 0.8) / (1 - 0.64) = 3.33 and v1 = (-1 + 1.6) / (1 - 0.64) = 1.67.
#: Who takes the limit for a death finds less, and who takes the next episode's beginning for what followed finds more.
CUT = Known((both(To(1, 2.0)), both(To(0, -1.0))), limit=3)

#: Four steps, each of which is told from the others, and a termination: an episode whose length is part of the task.
#: Rewards 1, -1, 2, 1: from the last one back, 1, 2 + 0.8 = 2.8, -1 + 2.24 = 1.24, 1 + 0.992 = 1.992.
TIMED = Known(tuple(both(To(min(s + 1, 3), r, over=s == 3)) for s, r in enumerate((1.0, -1.0, 2.0, 1.0))), starts=(0,))

#: Action 0 ends the episode with reward 1; action 1 leads on without one, to where action 0 pays 3 and action 1 pays 1.
#: Values: 1 and 0.8 * 3 = 2.4, then 3 and 1: it is worth waiting, also for who acts evenly there: 0.8 * 2 = 1.6.
#: Who counts on the worst action, 0.8 * 1, or on nothing, does not wait.
WAITING = Known((((To(0, 1.0, over=True),), (To(1),)), ((To(1, 3.0, over=True),), (To(1, 1.0, over=True),))))

#: From the first state to the second with chance 3/5, else to the third; the second pays 1, the third 0, and both end
#: the episode. Values: 0.8 * 3/5 = 0.48, 1, 0. Who lets the gradient go through the target finds less of a difference
#: between the two that may follow (Sutton & Barto 2018, example 11.2).
BRANCHED = Known((both(To(1, chance=0.6), To(2, chance=0.4)), both(To(1, 1.0, over=True)), both(To(2, over=True))))

#: One step; reward 10 or -10, by what is seen. Values: these.
LARGE = Known((both(To(0, 10.0, over=True)), both(To(1, -10.0, over=True))), starts=(0, 1))

#: State 0 leads to state 1, or 2, which look the same, and end the episode: action 0 pays 1 there and action 1 pays 5,
#: which in state 1 is forbidden. From state 0 one comes to state 1 alone, so both values there are 0.8 * 1, and not
#: 0.8 * 5, though at what is seen next action 1 has the value 5.
MASKED = Known(
    (
        both(To(1)),
        ((To(1, 1.0, over=True),), (To(1, 5.0, over=True),)),
        ((To(2, 1.0, over=True),), (To(2, 5.0, over=True),)),
    ),
    starts=(0, 2),
    forbidden=((1, 1),),
    shown=(0, 1, 1),
)

#: Two steps; at the second, action 1 pays 1. Values: 0.8 and 0.8, then 0 and 1.
CHOSEN = Known((both(To(1)), ((To(1, over=True),), (To(1, 1.0, over=True),))))

#: One step in one of two states that look the same: in the first, action 1 is forbidden, and action 0 pays 3; in the
#: second, action 0 pays nothing and action 1 pays 1. Where there is a choice, action 1 is right. Who learns of the
#: first as if there had been one likes action 0 for its 3.
FORCED = Known(
    (
        ((To(0, 3.0, over=True),), (To(0, over=True),)),
        ((To(1, over=True),), (To(1, 1.0, over=True),)),
    ),
    starts=(0, 1),
    forbidden=((0, 1),),
    shown=(0, 0),
)
