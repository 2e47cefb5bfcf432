"""The domain events of administrative acts, one for each act. Used as `AdministrativeAct.<Name>`."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

import msgspec

from domain.dispatch import Dispatch
from domain.event_sourcing.aggregate import Aggregate, CreationEvent, DomainEvent

PersonalData = Literal["callback_addresses", "coordinates"]
MAX_NAMED = 100
"""Ids that one act names; `count` says how many there are."""

ACTS_ON_DR_EVENTS: tuple[type[DomainEvent], ...] = (Dispatch.ForecastOverridden,)
"""Domain events of a DR event that the list of administrative acts shows as well. They are not recorded twice."""


class UtilityChange(msgspec.Struct, frozen=True, kw_only=True):
    """The change of a utility by a portfolio import, and by what it is authenticated afterwards. A reference names
    where a secret is stored; the secret itself is nowhere in the log."""

    utility_id: str
    is_new: bool
    changed: tuple[str, ...]
    """Names of fields."""
    webhook_secret_ref: str | None
    callback_secret_ref: str | None


class LostInterval(msgspec.Struct, frozen=True, kw_only=True):
    """The part of one log that a restore of the database lost, as far as it was sealed."""

    log: str
    restored_position: int
    """The newest domain event that the restored log has; 0 for an empty log."""
    archived_position: int
    """The newest one that a checkpoint before the restore sealed."""
    lost: int
    """How many sealed domain events, after the first and up to the second position, are lost."""


class AdministrativeActState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an act: it happened."""


class Event(CreationEvent, Aggregate.Event, frozen=True, kw_only=True):
    """The base of every act: the only domain event of its stream."""

    TOPIC: ClassVar[str] = "administration.event"
    originator_topic: str

    def initial_state(self) -> AdministrativeActState:
        return AdministrativeActState()


class ApiKeyIssued(Event, frozen=True, kw_only=True):
    """An API key is valid from now on."""

    TOPIC: ClassVar[str] = "administration.api-key-issued.v1"
    key_id: str
    role: str
    utility_id: str | None
    facility_id: str | None
    expires_at: datetime | None
    replaces: str | None
    """The key that it was rotated from."""


class ApiKeyRotated(Event, frozen=True, kw_only=True):
    """Another key replaces an API key, which is valid until the end of the overlap."""

    TOPIC: ClassVar[str] = "administration.api-key-rotated.v1"
    key_id: str
    replaced_by: str
    expires_at: datetime


class ApiKeyRevoked(Event, frozen=True, kw_only=True):
    """An API key is not valid any more."""

    TOPIC: ClassVar[str] = "administration.api-key-revoked.v1"
    key_id: str


class MeterLoginCreated(Event, frozen=True, kw_only=True):
    """The meters of a facility may log in at the embedded broker from now on."""

    TOPIC: ClassVar[str] = "administration.meter-login-created.v1"
    facility_id: str


class MeterLoginRevoked(Event, frozen=True, kw_only=True):
    """The meters of a facility may not log in any more."""

    TOPIC: ClassVar[str] = "administration.meter-login-revoked.v1"
    facility_id: str


class DeadLettersDecided(Event, frozen=True, kw_only=True):
    """A person replayed or discarded dead letters. The reason stands beside them."""

    TOPIC: ClassVar[str] = "administration.dead-letters-decided.v1"
    decision: Literal["replayed", "discarded"]
    dead_letter_ids: tuple[UUID, ...]
    """The first MAX_NAMED of them."""
    count: int


class AlertAcknowledged(Event, frozen=True, kw_only=True):
    """A person looks after an alert. The reason stands beside it."""

    TOPIC: ClassVar[str] = "administration.alert-acknowledged.v1"
    alert_id: int
    alert: str
    """Its name."""


class AlertCleared(Event, frozen=True, kw_only=True):
    """A person ended an alert by hand. The reason stands beside it."""

    TOPIC: ClassVar[str] = "administration.alert-cleared.v1"
    alert_id: int
    alert: str
    """Its name."""


class HistoryImportBegun(Event, frozen=True, kw_only=True):
    """From now on the intervals of a file may be stored, and some of them are until the import is recorded."""

    TOPIC: ClassVar[str] = "administration.history-import-begun.v1"
    file_sha256: str
    facility_ids: tuple[str, ...]
    """The first MAX_NAMED of them."""
    facilities: int


class HistoryImported(Event, frozen=True, kw_only=True):
    """A file of intervals was imported as a whole. Its correlation id is that of its beginning."""

    TOPIC: ClassVar[str] = "administration.history-imported.v1"
    facility_ids: tuple[str, ...]
    """The first MAX_NAMED of them."""
    facilities: int
    intervals: int
    changed: int
    """Intervals that replaced others."""


class HistoryImportTakenBack(Event, frozen=True, kw_only=True):
    """From now on the rows of an import are removed, and what was computed from them is corrected. The reason stands
    beside it."""

    TOPIC: ClassVar[str] = "administration.history-import-taken-back.v1"
    import_id: UUID
    """The stream of its `HistoryImportBegun`."""
    facility_ids: tuple[str, ...]
    """The first MAX_NAMED of them."""
    facilities: int
    rows: int
    """That the file has."""


class PortfolioImportBegun(Event, frozen=True, kw_only=True):
    """A portfolio was found to change something. Its utilities are stored with this act; programs and facilities
    follow, with the same correlation id."""

    TOPIC: ClassVar[str] = "administration.portfolio-import-begun.v1"
    file_sha256: str | None
    """None: the portfolio came from no file."""
    utilities: tuple[UtilityChange, ...]
    """The first MAX_NAMED that change."""
    utilities_changed: int
    programs_changed: int
    facilities_changed: int


class PortfolioImported(Event, frozen=True, kw_only=True):
    """A portfolio was imported as a whole. Its correlation id is that of its beginning."""

    TOPIC: ClassVar[str] = "administration.portfolio-imported.v1"
    utilities: int
    programs: int
    facilities: int
    """Those that changed."""


class MigrationApplied(Event, frozen=True, kw_only=True):
    """A migration of the database schema was applied, at `applied_at`."""

    TOPIC: ClassVar[str] = "administration.migration-applied.v1"
    migration: str
    applied_at: datetime


class PersonalDataForgotten(Event, frozen=True, kw_only=True):
    """The rows of a table beside the log about a facility or a utility were deleted."""

    TOPIC: ClassVar[str] = "administration.personal-data-forgotten.v1"
    kind: PersonalData
    subject_id: str
    """The facility, or the utility."""
    count: int


class MeterReadingsRemoved(Event, frozen=True, kw_only=True):
    """From now on the stored readings of a meter that the portfolio does not list are removed, and what was
    computed from them is corrected. The reason stands beside it."""

    TOPIC: ClassVar[str] = "administration.meter-readings-removed.v1"
    facility_id: str
    meter_id: str
    readings: int
    first_at: datetime
    newest_at: datetime
    """When the oldest and the newest of them were measured."""


class MessagesDecodedAgain(Event, frozen=True, kw_only=True):
    """Archived messages of meters are decoded again from now on, and corrections of their readings stored."""

    TOPIC: ClassVar[str] = "administration.messages-decoded-again.v1"
    starts_at: datetime
    ends_at: datetime
    facility_ids: tuple[str, ...]
    """The first MAX_NAMED of them; empty: of all facilities."""
    facilities: int


class DatabaseRestored(Event, frozen=True, kw_only=True):
    """The database was restored to an earlier moment. Positions between the restored log and this act were used by
    domain events that are lost, and are not used again."""

    TOPIC: ClassVar[str] = "administration.database-restored.v1"
    target_at: datetime | None
    """The moment that was asked for; None: as late as the archive of the database reaches."""
    extends_checkpoint: int
    """The newest checkpoint that the restored log still extends; 0 where there is none."""
    extends_digest: str
    last_checkpoint: int
    """The newest checkpoint that was archived before the restore; 0 where there is none."""
    last_digest: str
    lost: tuple[LostInterval, ...]
    """One for each log."""
