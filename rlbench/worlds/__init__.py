"""Environments that rlbench steps itself, in torch, thousands of copies at once, wherever the learners are.

Gymnasium's are Python, and live on the host: a card that trains a thousand learners waits for them. Some, whose laws
are short, are written here once more. An episode is told by its seed as everywhere: it begins where Gymnasium's does,
and goes on by the same law. For `rollout`, and for whoever runs recorded episodes again.
"""
