"""Completes the future of a waiting task."""

from __future__ import annotations

import asyncio


def complete_future(future: asyncio.Future[None]) -> None:
    """Set the result, unless the future is done."""
    if not future.done():
        future.set_result(None)
