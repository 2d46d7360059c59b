"""What came of a sweep: who is better, on one page, and what each switch of a recipe is worth.

Entered by the command line.
"""
