"""Files to begin with, as `rlbench new` writes them under another name: agents of three kinds, an environment, tests.

Each is an ordinary module here, which is formatted, checked and tested as all others are, and sees what its reader's
file will see. Nothing imports them but tests.
"""
