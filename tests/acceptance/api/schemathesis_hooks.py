"""Hooks for values that schemathesis cannot generate: a cursor is valid only if a list returned it."""

from typing import Any

import schemathesis
from schemathesis import GenerationMode


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Remove generated cursors from valid requests (test_pages.py follows real cursors); invalid ones keep theirs."""
    if case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE:
        case.query.pop("cursor", None)
