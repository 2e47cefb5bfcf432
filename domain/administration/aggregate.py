"""Administrative acts: what people change beside DR events. Each is a stream with a single domain event (ADR 0065).

The rows that authentication and operation read are the state; these are the record of who changed them. They hold no
names and no free text: those stand in tables that can forget.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, Literal, Self, TypeAlias
from uuid import UUID, uuid5

from domain.administration import events
from domain.administration.events import (
    MAX_NAMED,
    AdministrativeActState,
    LostInterval,
    PersonalData,
    UtilityChange,
)
from domain.event_sourcing.aggregate import Aggregate, Provenance
from domain.identifiers import NAMESPACE


class AdministrativeAct(Aggregate[AdministrativeActState]):
    """An act of a person, or of a process for the operator."""

    TOPIC: ClassVar[str] = "administration"

    Event: TypeAlias = events.Event
    ApiKeyIssued: TypeAlias = events.ApiKeyIssued
    ApiKeyRotated: TypeAlias = events.ApiKeyRotated
    ApiKeyRevoked: TypeAlias = events.ApiKeyRevoked
    MeterLoginCreated: TypeAlias = events.MeterLoginCreated
    MeterLoginRevoked: TypeAlias = events.MeterLoginRevoked
    DeadLettersDecided: TypeAlias = events.DeadLettersDecided
    AlertAcknowledged: TypeAlias = events.AlertAcknowledged
    AlertCleared: TypeAlias = events.AlertCleared
    HistoryImportBegun: TypeAlias = events.HistoryImportBegun
    HistoryImported: TypeAlias = events.HistoryImported
    HistoryImportTakenBack: TypeAlias = events.HistoryImportTakenBack
    PortfolioImportBegun: TypeAlias = events.PortfolioImportBegun
    PortfolioImported: TypeAlias = events.PortfolioImported
    MigrationApplied: TypeAlias = events.MigrationApplied
    PersonalDataForgotten: TypeAlias = events.PersonalDataForgotten
    MeterReadingsRemoved: TypeAlias = events.MeterReadingsRemoved
    MessagesDecodedAgain: TypeAlias = events.MessagesDecodedAgain
    DatabaseRestored: TypeAlias = events.DatabaseRestored

    @classmethod
    def issue_key(
        cls,
        provenance: Provenance,
        *,
        key_id: str,
        role: str,
        utility_id: str | None = None,
        facility_id: str | None = None,
        expires_at: datetime | None = None,
        replaces: str | None = None,
    ) -> Self:
        return cls.open_stream(
            api_key_act_id("issued", key_id),
            cls.ApiKeyIssued,
            provenance,
            key_id=key_id,
            role=role,
            utility_id=utility_id,
            facility_id=facility_id,
            expires_at=expires_at,
            replaces=replaces,
        )

    @classmethod
    def rotate_key(
        cls, provenance: Provenance, *, key_id: str, replaced_by: str, expires_at: datetime
    ) -> Self:
        return cls.open_stream(
            api_key_act_id(f"rotated:{replaced_by}", key_id),
            cls.ApiKeyRotated,
            provenance,
            key_id=key_id,
            replaced_by=replaced_by,
            expires_at=expires_at,
        )

    @classmethod
    def revoke_key(cls, provenance: Provenance, *, key_id: str) -> Self:
        return cls.open_stream(
            api_key_act_id("revoked", key_id), cls.ApiKeyRevoked, provenance, key_id=key_id
        )

    @classmethod
    def create_meter_login(cls, provenance: Provenance, *, facility_id: str) -> Self:
        stream_id = uuid5(NAMESPACE, f"meter-login-created:{provenance.causation_id}")
        return cls.open_stream(stream_id, cls.MeterLoginCreated, provenance, facility_id=facility_id)

    @classmethod
    def revoke_meter_login(cls, provenance: Provenance, *, facility_id: str) -> Self:
        stream_id = uuid5(NAMESPACE, f"meter-login-revoked:{provenance.causation_id}")
        return cls.open_stream(stream_id, cls.MeterLoginRevoked, provenance, facility_id=facility_id)

    @classmethod
    def decide_dead_letters(
        cls,
        provenance: Provenance,
        *,
        decision: Literal["replayed", "discarded"],
        dead_letter_ids: Sequence[UUID],
    ) -> Self:
        """`dead_letter_ids`: at least one, each decided for the first time."""
        return cls.open_stream(
            uuid5(NAMESPACE, f"dead-letters-decided:{dead_letter_ids[0]}"),
            cls.DeadLettersDecided,
            provenance,
            decision=decision,
            dead_letter_ids=tuple(dead_letter_ids[:MAX_NAMED]),
            count=len(dead_letter_ids),
        )

    @classmethod
    def acknowledge_alert(cls, provenance: Provenance, *, alert_id: int, alert: str) -> Self:
        return cls.open_stream(
            uuid5(NAMESPACE, f"alert-acknowledged:{alert_id}"),
            cls.AlertAcknowledged,
            provenance,
            alert_id=alert_id,
            alert=alert,
        )

    @classmethod
    def clear_alert(cls, provenance: Provenance, *, alert_id: int, alert: str) -> Self:
        return cls.open_stream(
            uuid5(NAMESPACE, f"alert-cleared:{alert_id}"),
            cls.AlertCleared,
            provenance,
            alert_id=alert_id,
            alert=alert,
        )

    @classmethod
    def begin_history_import(
        cls, provenance: Provenance, *, file_sha256: str, facility_ids: Sequence[str]
    ) -> Self:
        return cls.open_stream(
            uuid5(NAMESPACE, f"history-import-begun:{provenance.causation_id}"),
            cls.HistoryImportBegun,
            provenance,
            file_sha256=file_sha256,
            facility_ids=tuple(facility_ids[:MAX_NAMED]),
            facilities=len(facility_ids),
        )

    @classmethod
    def import_history(
        cls, provenance: Provenance, *, facility_ids: Sequence[str], intervals: int, changed: int
    ) -> Self:
        return cls.open_stream(
            uuid5(NAMESPACE, f"history-imported:{provenance.causation_id}"),
            cls.HistoryImported,
            provenance,
            facility_ids=tuple(facility_ids[:MAX_NAMED]),
            facilities=len(facility_ids),
            intervals=intervals,
            changed=changed,
        )

    @classmethod
    def take_history_import_back(
        cls, provenance: Provenance, *, import_id: UUID, facility_ids: Sequence[str], rows: int
    ) -> Self:
        return cls.open_stream(
            uuid5(NAMESPACE, f"history-import-taken-back:{import_id}"),
            cls.HistoryImportTakenBack,
            provenance,
            import_id=import_id,
            facility_ids=tuple(facility_ids[:MAX_NAMED]),
            facilities=len(facility_ids),
            rows=rows,
        )

    @classmethod
    def begin_portfolio_import(
        cls,
        provenance: Provenance,
        *,
        file_sha256: str | None,
        utilities: Sequence[UtilityChange],
        programs_changed: int,
        facilities_changed: int,
    ) -> Self:
        return cls.open_stream(
            uuid5(NAMESPACE, f"portfolio-import-begun:{provenance.causation_id}"),
            cls.PortfolioImportBegun,
            provenance,
            file_sha256=file_sha256,
            utilities=tuple(utilities[:MAX_NAMED]),
            utilities_changed=len(utilities),
            programs_changed=programs_changed,
            facilities_changed=facilities_changed,
        )

    @classmethod
    def import_portfolio(
        cls, provenance: Provenance, *, utilities: int, programs: int, facilities: int
    ) -> Self:
        return cls.open_stream(
            uuid5(NAMESPACE, f"portfolio-imported:{provenance.causation_id}"),
            cls.PortfolioImported,
            provenance,
            utilities=utilities,
            programs=programs,
            facilities=facilities,
        )

    @classmethod
    def apply_migration(cls, provenance: Provenance, *, migration: str, applied_at: datetime) -> Self:
        return cls.open_stream(
            migration_act_id(migration),
            cls.MigrationApplied,
            provenance,
            migration=migration,
            applied_at=applied_at,
        )

    @classmethod
    def forget_personal_data(
        cls, provenance: Provenance, *, kind: PersonalData, subject_id: str, count: int
    ) -> Self:
        return cls.open_stream(
            uuid5(NAMESPACE, f"personal-data-forgotten:{provenance.causation_id}"),
            cls.PersonalDataForgotten,
            provenance,
            kind=kind,
            subject_id=subject_id,
            count=count,
        )

    @classmethod
    def remove_meter_readings(
        cls,
        provenance: Provenance,
        *,
        facility_id: str,
        meter_id: str,
        readings: int,
        first_at: datetime,
        newest_at: datetime,
    ) -> Self:
        return cls.open_stream(
            uuid5(NAMESPACE, f"meter-readings-removed:{provenance.causation_id}"),
            cls.MeterReadingsRemoved,
            provenance,
            facility_id=facility_id,
            meter_id=meter_id,
            readings=readings,
            first_at=first_at,
            newest_at=newest_at,
        )

    @classmethod
    def decode_messages_again(
        cls,
        provenance: Provenance,
        *,
        starts_at: datetime,
        ends_at: datetime,
        facility_ids: Sequence[str],
    ) -> Self:
        """`facility_ids`: empty for all."""
        return cls.open_stream(
            uuid5(NAMESPACE, f"messages-decoded-again:{provenance.causation_id}"),
            cls.MessagesDecodedAgain,
            provenance,
            starts_at=starts_at,
            ends_at=ends_at,
            facility_ids=tuple(facility_ids[:MAX_NAMED]),
            facilities=len(facility_ids),
        )

    @classmethod
    def restore_database(
        cls,
        provenance: Provenance,
        *,
        target_at: datetime | None,
        extends: tuple[int, str],
        last: tuple[int, str],
        lost: Sequence[LostInterval],
    ) -> Self:
        """`extends`, `last`: number and digest of a checkpoint."""
        return cls.open_stream(
            restore_act_id(extends, last),
            cls.DatabaseRestored,
            provenance,
            target_at=target_at,
            extends_checkpoint=extends[0],
            extends_digest=extends[1],
            last_checkpoint=last[0],
            last_digest=last[1],
            lost=tuple(lost),
        )


def restore_act_id(extends: tuple[int, str], last: tuple[int, str]) -> UUID:
    """The stream of a restore, by number and digest of the two checkpoints that it is between."""
    return uuid5(NAMESPACE, f"database-restored:{extends[0]}:{extends[1]}:{last[0]}:{last[1]}")


def api_key_act_id(act: str, key_id: str) -> UUID:
    """The stream of what happens to a key once."""
    return uuid5(NAMESPACE, f"api-key-{act}:{key_id}")


def migration_act_id(migration: str) -> UUID:
    """The stream of a migration."""
    return uuid5(NAMESPACE, f"migration-applied:{migration}")
