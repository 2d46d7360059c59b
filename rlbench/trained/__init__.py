"""What a run left behind, opened again: agents ready to act, recorded episodes run anew, scores, checks.

For play, reports and the commands; it never trains.
"""
