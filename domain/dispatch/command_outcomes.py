"""What became of BMS commands: attempts, outcomes, and putting one to work again; a part of `Dispatch`."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from domain.dispatch import command_events
from domain.dispatch.amendment import dropping
from domain.dispatch.decisions import requests
from domain.dispatch.mixin_base import Part
from domain.dispatch.phase_conclusion import conclusion
from domain.dispatch.state import FINAL, UNDOING, CommandRecord, Setpoint
from domain.errors import NotAllowedNow, ReasonRequired, UnknownBmsCommand
from domain.event_sourcing.aggregate import Provenance

STILL_CURTAILED = "curtailed"
"""The code by which a BMS refuses to abort a zone that is not only prepared."""


class Outcomes(Part):
    def reissue(self, provenance: Provenance, *, command_id: UUID, reason: str) -> None:
        """Put a dead-lettered command to work again, under the same id; by a person, with a reason."""
        if not reason.strip():
            raise ReasonRequired("a replay needs a reason")
        record = self._record_of(command_id)
        if record.state == "by_hand":
            raise NotAllowedNow(f"{self.state.facility_id} was restored by hand; discard the dead letter")
        if record.state != "gave_up":
            raise NotAllowedNow(f"command {command_id} is {record.state}; only one given up can be replayed")
        if record.command.phase not in {"restore", "abort"}:
            raise NotAllowedNow(
                f"the {record.command.phase} of {self.state.facility_id} can no longer be replayed: "
                "its dispatch has failed and was compensated"
            )
        if self.state.status not in FINAL | UNDOING:
            raise NotAllowedNow(
                f"the dispatch of {self.state.facility_id} goes on ({self.state.status}); "
                "what was given up of it before is not replayed any more"
            )
        self._reissue(provenance, record, reason)

    def attempt(self, provenance: Provenance, *, command_id: UUID) -> int:
        """Record that a call is about to be made; gives the number of this attempt."""
        record = self._record_of(command_id)
        if record.state != "requested":
            raise NotAllowedNow(f"command {command_id} is already {record.state}")
        attempt = record.attempts + 1
        self.record(command_events.BmsCommandAttempted, provenance, command_id=command_id, attempt=attempt)
        return attempt

    def command_succeeded(
        self,
        provenance: Provenance,
        *,
        command_id: UUID,
        executed_at: datetime,
        setpoint: Setpoint,
        learned_by: Literal["answer", "status_query"],
    ) -> None:
        """Record a success and what follows from it; a second report of an outcome records nothing."""
        record = self._record_of(command_id)
        if record.state != "requested":
            return
        command = record.command
        self.record(
            command_events.BmsCommandSucceeded,
            provenance,
            command_id=command_id,
            zone_id=command.zone_id,
            phase=command.phase,
            executed_at=executed_at,
            setpoint=setpoint,
            learned_by=learned_by,
        )
        self._conclude(provenance)

    def command_refused(self, provenance: Provenance, *, command_id: UUID, code: str, reason: str) -> None:
        record = self._record_of(command_id)
        if record.state != "requested":
            return
        command = record.command
        self.record(
            command_events.BmsCommandRefused,
            provenance,
            command_id=command_id,
            zone_id=command.zone_id,
            phase=command.phase,
            code=code,
            reason=reason,
        )
        if command.phase == "abort" and code == STILL_CURTAILED and command.zone_id in self.state.zones:
            # A commit that was thought never to have been carried out had been: the building is let go as any other.
            zone = [self.state.zones[command.zone_id]]
            self._record_all(provenance, requests(self.state, zone, "restore", not_after=None))
        self._conclude(provenance)

    def command_gave_up(
        self, provenance: Provenance, *, command_id: UUID, was_sent: bool, reason: str
    ) -> None:
        record = self._record_of(command_id)
        if record.state != "requested":
            return
        command = record.command
        self.record(
            command_events.BmsCommandGaveUp,
            provenance,
            command_id=command_id,
            zone_id=command.zone_id,
            phase=command.phase,
            attempts=record.attempts,
            was_sent=was_sent,
            reason=reason,
        )
        self._conclude(provenance)

    def _reissue(self, provenance: Provenance, record: CommandRecord, reason: str) -> None:
        self.record(
            command_events.BmsCommandReissued,
            provenance,
            command_id=record.command.command_id,
            issue=record.issue + 1,
            reason=reason,
        )

    def _conclude(self, provenance: Provenance) -> None:
        """Once every open command is settled, record what that came to."""
        concluded = conclusion(self.state, now=provenance.recorded_at)
        if concluded is not None:
            self._record_all(provenance, [concluded])
            # A zone that the plan left out while it was being prepared is let go now.
            self._record_all(provenance, dropping(self.state, now=provenance.recorded_at))

    def _record_of(self, command_id: UUID) -> CommandRecord:
        try:
            return self.state.commands[str(command_id)]
        except KeyError:
            raise UnknownBmsCommand(
                f"command {command_id} was never requested of {self.state.facility_id}"
            ) from None
