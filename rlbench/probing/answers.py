"""What a row may say besides that all holds."""


class Fails(Exception):
    """Something does not hold.

    Args:
        evidence: what was expected, what came, on which probe, after how many updates.
        cause: what it likely comes from, in a sentence.
    """

    def __init__(self, evidence: str, cause: str) -> None:
        super().__init__(evidence, cause)
        self.evidence, self.cause = evidence, cause


class LeftOut(Exception):
    """A row cannot be asked of this agent; its text says why."""
