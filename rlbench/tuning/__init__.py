"""A search for better hyper-parameters: Optuna asks, runs of several seeds answer, fresh seeds have the last word.

What is searched is in `tunefile`. `study` is what all processes of a search share, `search` carries trials out, and
`finish` and `report` judge the best of them. Entered by the command line alone.
"""
