"""Corrections of readings as dead letters: those of a facility that fail to be measured again are parked (ADR 0060).

A later measurement reads every reading again, so nothing has to wait behind a letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from uuid import UUID, uuid5

import msgspec
import structlog

from application.ports.clock import Clock
from application.ports.operations.dead_letters import DeadLetter, DeadLetterQueue, DeadLetters
from application.ports.telemetry.rollups import CorrectedInterval
from domain.identifiers import facility_stream_id

QUEUE: DeadLetterQueue = "correction"
_log = structlog.get_logger("compute")


class FacilityCorrections(msgspec.Struct, frozen=True, kw_only=True):
    """The corrections of a facility from one number to another, both included. Between them are those of others."""

    facility_id: str
    first: int
    last: int

    @classmethod
    def of(cls, corrected: Sequence[CorrectedInterval]) -> Self:
        """`corrected`: all of one facility, in order."""
        first, last = corrected[0], corrected[-1]
        return cls(facility_id=first.facility_id, first=first.correction_id, last=last.correction_id)

    @property
    def letter_id(self) -> UUID:
        return uuid5(facility_stream_id(self.facility_id), f"corrections:{self.first}:{self.last}")


@dataclass(frozen=True)
class CorrectionParking:
    """Synchronous."""

    dead_letters: DeadLetters
    clock: Clock

    def park(self, corrections: FacilityCorrections, error: Exception) -> None:
        """Store the letter. Raises OperationsUnavailable; then park them again."""
        facility_id, reason = corrections.facility_id, f"{type(error).__name__}: {error}"[:1_000]
        _log.error("parked: corrections of readings", facility=facility_id, why=reason, exc_info=error)
        letter = DeadLetter(
            dead_letter_id=corrections.letter_id,
            queue=QUEUE,
            subject=facility_id,
            reason=reason,
            body=msgspec.json.encode(corrections),
            parked_at=self.clock.now(),
        )
        self.dead_letters.park(letter)


def alert_subject(facility_id: str) -> str:
    return f"corrections/{facility_id}"
