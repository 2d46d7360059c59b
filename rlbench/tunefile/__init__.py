"""What is searched: the file of a search, the recipe and the space that it names, and who proposes the next trial.

`file` reads it all, `same` says when two are the same search. Nothing here runs anything; entered by whoever does.
"""
