"""Carries a sweep out: checked, handed to an engine, followed, tried again, and told of.

Entered by the command line, and by searches, whose trials are runs too.
"""
