"""How many examples a test tries: all in `make test`, a tenth in `make quick` (IN_SMALL=1)."""

import os

IN_SMALL = os.environ.get("IN_SMALL") == "1"


def examples(full: int) -> int:
    """How many examples, seeds or steps to try where `make test` tries `full`."""
    return max(1, full // 10) if IN_SMALL else full
