"""Code of users' own: named as they type it, imported under names that clash with nothing, named again in commands.

Below the environments, so that those that are users' own can be found; knows the kit alone.
"""
