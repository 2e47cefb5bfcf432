"""Messages that are too large: for the work queue of a seed, for any work queue, and answers of a BMS."""

from __future__ import annotations

from random import Random

import msgspec

from domain.dr_event import CallbackKind

LONG_KINDS: tuple[CallbackKind, ...] = ("accepted", "started", "completed", "measured", "cancelled")


class Oversize(msgspec.Struct, frozen=True, kw_only=True):
    """Times are clock seconds after the epoch."""

    queue_bytes: int | None = None
    """The largest message that the broker takes until its operator raises the limit; None: as large as any."""
    raised_s: float = 0.0
    long_callback: CallbackKind | None = None
    """Callbacks of this kind get a body that no queue could carry, until the release is mended."""
    mended_s: float = 0.0
    answers: dict[str, float] = {}
    """Facility -> how often the answer of its BMS is too large."""

    @property
    def parks(self) -> bool:
        """Whether anything of it is parked as a dead letter."""
        return self.queue_bytes is not None or self.long_callback is not None


def draw_oversize(rng: Random, facility_ids: tuple[str, ...], until_s: float) -> Oversize:
    if rng.random() >= 0.12:
        return Oversize()
    has_small_queue, has_long_callback = rng.random() < 0.6, rng.random() < 0.6
    return Oversize(
        queue_bytes=rng.choice((300, 500, 800, 1_000)) if has_small_queue else None,
        raised_s=until_s * rng.uniform(0.4, 1.0),
        long_callback=rng.choice(LONG_KINDS) if has_long_callback else None,
        mended_s=until_s * rng.uniform(0.4, 1.0),
        answers={one: rng.choice((0.05, 0.3)) for one in facility_ids if rng.random() < 0.5},
    )
