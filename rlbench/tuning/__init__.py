"""A search for better hyper-parameters: Optuna asks, runs of several seeds answer, fresh seeds have the last word.

`file` reads what is searched, `study` is what all processes of a search share, `search` carries trials out, `finish`
and `report` judge the best of them. Entered by the command line alone.
"""
