"""What schemathesis cannot draw: a cursor is one that a list gave out."""

from typing import Any

import schemathesis
from schemathesis import GenerationMode


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """What is meant to be accepted begins at the beginning (test_pages.py follows cursors); wrong ones are sent."""
    if case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE:
        case.query.pop("cursor", None)
