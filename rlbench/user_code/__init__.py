"""Code of users' own: named as they type it, imported under names that clash with nothing; and commands to print.

Below the environments, so that those that are users' own can be found, and so that every room above can print a command
that names such code. Knows `process` and the kit.
"""
