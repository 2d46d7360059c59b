"""Conformance of agents: what every agent keeps, asked of one of a user's own, with evidence and a likely cause.

    from rlbench.checks import assert_conforms

    def test_mine():
        assert_conforms(MyAgent)

Stands beside `report` and `live`, above training; only the command line, programs and tests enter. `suite` asks; each
of the other modules holds rows, declared as `rlbench.probing.rows` says.
"""

from .suite import assert_conforms as assert_conforms
from .suite import check as check
