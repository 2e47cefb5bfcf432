"""Mixin of `Dispatch` for BMS commands: attempts, outcomes, and issuing a command again."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from domain.dispatch import command_events
from domain.dispatch.amendment import drop_events
from domain.dispatch.decisions import command_requests
from domain.dispatch.lost_commands import overdue_commands
from domain.dispatch.mixin_base import DispatchMixin
from domain.dispatch.phase_conclusion import phase_conclusion
from domain.dispatch.state import FINAL, UNDOING, CommandRecord, Setpoint
from domain.errors import NotAllowedNow, ReasonRequired, UnknownBmsCommand
from domain.event_sourcing.aggregate import Provenance

STILL_CURTAILED = "curtailed"
"""The code with which a BMS refuses to abort a zone that is committed."""


class CommandOutcomes(DispatchMixin):
    """The part of `Dispatch` that records attempts and outcomes of commands."""

    def reissue(self, provenance: Provenance, *, command_id: UUID, reason: str) -> None:
        """Issue a dead-lettered command again under the same id, on behalf of a person and with a reason."""
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

    def reissue_lost(self, provenance: Provenance, *, reason: str) -> tuple[UUID, ...]:
        """Issue again the commands that have been without an outcome for too long; returns their ids.

        A call that is too early, or repeated, records nothing.
        """
        overdue = overdue_commands(self.state, now=provenance.recorded_at)
        for record in overdue:
            self._reissue(provenance, record, reason)
        return tuple(record.command.command_id for record in overdue)

    def attempt(self, provenance: Provenance, *, command_id: UUID) -> int:
        """Record that a call is about to be made; returns the number of the attempt."""
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
        """Record a success and its consequences. A second report of an outcome records nothing.

        A commit that was being sent while an operator confirmed the manual restore may have curtailed the
        building again after it: the zone is restored. The time at which the BMS executed it is of the BMS's clock and
        does not tell.
        """
        record = self._record_of(command_id)
        command = record.command
        overtaken = record.state == "by_hand" and command.phase == "commit"
        if record.state != "requested" and not overtaken:
            return
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
        if overtaken and command.zone_id in self.state.zones:
            zone = [self.state.zones[command.zone_id]]
            self._record_all(provenance, command_requests(self.state, zone, "restore", not_after=None))
        self._conclude(provenance)

    def command_refused(self, provenance: Provenance, *, command_id: UUID, code: str, reason: str) -> None:
        """Record a refusal and its consequences."""
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
            # A commit that was assumed to have failed was carried out: restore the zone.
            zone = [self.state.zones[command.zone_id]]
            self._record_all(provenance, command_requests(self.state, zone, "restore", not_after=None))
        self._conclude(provenance)

    def command_gave_up(
        self, provenance: Provenance, *, command_id: UUID, was_sent: bool, reason: str
    ) -> None:
        """Record that the outcome of a command is unknown at its deadline."""
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
        """Once no command is open, record the result of the phase."""
        concluded = phase_conclusion(self.state, now=provenance.recorded_at)
        if concluded is not None:
            self._record_all(provenance, [concluded])
            # Abort a zone that was removed from the plan while its prepare was open.
            self._record_all(provenance, drop_events(self.state, now=provenance.recorded_at))

    def _record_of(self, command_id: UUID) -> CommandRecord:
        try:
            return self.state.commands[str(command_id)]
        except KeyError:
            raise UnknownBmsCommand(
                f"command {command_id} was never requested of {self.state.facility_id}"
            ) from None
