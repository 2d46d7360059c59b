"""Many runs from one file: what varies is planned, handed to an engine, followed, tried again, and judged.

Entered by the command line, and by searches, which are made of runs too.
"""
