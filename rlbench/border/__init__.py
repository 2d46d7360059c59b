"""The border to other people's environments: made by name here; what goes in is a copy, what comes out is checked.

Knows the kit and `user_code`. The rollout steps environments through it, and nobody steps one past it.
"""
