"""Answers that a rule or a pass gives by raising them: the stage that asked catches each one."""

from __future__ import annotations


class Declined(Exception):  # noqa: N818 - it is an answer, not a failure
    """Raised by a rule that can't lower this use of its op; the text says why."""


class HostOnly(Exception):  # noqa: N818 - likewise
    """Raised by a rule on a GPU that can lower this on the CPU alone: it is called again for that."""


class Mistyped(Exception):  # noqa: N818 - likewise: the walk records it as a gap
    """The rule returned another dtype, rank, size or number of results than torch."""


class Skip(Exception):  # noqa: N818 - likewise
    """Raised by a pass that leaves a node as it is, although it looks for such nodes; the text says why."""
