"""Where an agent keeps experience to learn from: the replay buffer, and the rollout of those that learn on-policy.

Part of the kit of those who write agents.
"""

from .ring import Replay
from .rollout_buffer import Minibatch, Rollout

__all__ = ["Minibatch", "Replay", "Rollout"]
