"""Waking those who wait for something to change."""

from __future__ import annotations

import asyncio


def settled(future: asyncio.Future[None]) -> None:
    """Done, if it was not: whoever waits for it goes on."""
    if not future.done():
        future.set_result(None)
