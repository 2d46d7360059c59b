"""From runs to a verdict: who competes, whether that is fair, the numbers, and the sentence.

For `rlbench compare` and reports; reads run folders, and opens no agent.
"""
