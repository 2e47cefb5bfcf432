"""Descriptions of administrative acts, one sentence each; without names, which the log does not hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from domain.administration import AdministrativeAct, UtilityChange
from domain.dispatch import Dispatch
from domain.event_sourcing.aggregate import DomainEvent
from projections.audit.description_parts import moment_text


def act_text(act: DomainEvent) -> str:
    """The act in words."""
    described = ACT_DESCRIPTIONS.get(type(act))
    return type(act).__qualname__ if described is None else described(act)


def _key_issued(act: AdministrativeAct.ApiKeyIssued) -> str:
    scope = act.utility_id or act.facility_id
    until = f", valid until {moment_text(act.expires_at)}" if act.expires_at else ""
    instead = f", in place of {act.replaces}" if act.replaces else ""
    return f"API key {act.key_id} issued: {act.role}{f' {scope}' if scope else ''}{until}{instead}"


def _key_rotated(act: AdministrativeAct.ApiKeyRotated) -> str:
    return (
        f"API key {act.key_id} is replaced by {act.replaced_by}, and expires at {moment_text(act.expires_at)}"
    )


def _key_revoked(act: AdministrativeAct.ApiKeyRevoked) -> str:
    return f"API key {act.key_id} revoked"


def _meter_login_created(act: AdministrativeAct.MeterLoginCreated) -> str:
    return f"login of the meters of facility {act.facility_id} created"


def _meter_login_revoked(act: AdministrativeAct.MeterLoginRevoked) -> str:
    return f"login of the meters of facility {act.facility_id} revoked"


def _dead_letters_decided(act: AdministrativeAct.DeadLettersDecided) -> str:
    named = ", ".join(map(str, act.dead_letter_ids[:3])) + (", ..." if act.count > 3 else "")
    return f"{act.count} dead letter{'' if act.count == 1 else 's'} {act.decision}: {named}"


def _alert_acknowledged(act: AdministrativeAct.AlertAcknowledged) -> str:
    return f"alert {act.alert_id} acknowledged: {act.alert}"


def _alert_cleared(act: AdministrativeAct.AlertCleared) -> str:
    return f"alert {act.alert_id} cleared by hand: {act.alert}"


def _history_import_begun(act: AdministrativeAct.HistoryImportBegun) -> str:
    named = ", ".join(act.facility_ids[:3]) + (", ..." if act.facilities > 3 else "")
    return f"import of history of {_facilities(act.facilities)} begun: {named}{_digest(act.file_sha256)}"


def _history_imported(act: AdministrativeAct.HistoryImported) -> str:
    return (
        f"history of {_facilities(act.facilities)} imported: "
        f"{act.intervals} intervals added, {act.changed} changed"
    )


def _history_import_taken_back(act: AdministrativeAct.HistoryImportTakenBack) -> str:
    named = ", ".join(act.facility_ids[:3]) + (", ..." if act.facilities > 3 else "")
    rows = f"{act.rows} row{'' if act.rows == 1 else 's'}"
    return f"import {act.import_id} of history taken back: {rows} of {_facilities(act.facilities)}: {named}"


def _portfolio_import_begun(act: AdministrativeAct.PortfolioImportBegun) -> str:
    counts = _portfolio(act.utilities_changed, act.programs_changed, act.facilities_changed)
    named = "".join(f"; {_utility(one)}" for one in act.utilities)
    return f"import of a portfolio begun: {counts} to change{named}{_digest(act.file_sha256)}"


def _portfolio_imported(act: AdministrativeAct.PortfolioImported) -> str:
    return f"portfolio imported: {_portfolio(act.utilities, act.programs, act.facilities)} changed"


def _migration_applied(act: AdministrativeAct.MigrationApplied) -> str:
    return f"migration {act.migration} applied at {moment_text(act.applied_at)}"


def _personal_data_forgotten(act: AdministrativeAct.PersonalDataForgotten) -> str:
    addresses = f"{act.count} callback address{'' if act.count == 1 else 'es'} of utility"
    what = "coordinates of facility" if act.kind == "coordinates" else addresses
    return f"{what} {act.subject_id} forgotten"


def _meter_readings_removed(act: AdministrativeAct.MeterReadingsRemoved) -> str:
    measured = f"measured from {moment_text(act.first_at)} to {moment_text(act.newest_at)}"
    count = f"{act.readings} reading{'' if act.readings == 1 else 's'}"
    return f"{count} of meter {act.meter_id} of facility {act.facility_id} removed, {measured}"


def _messages_decoded_again(act: AdministrativeAct.MessagesDecodedAgain) -> str:
    whose = _facilities(act.facilities) if act.facilities else "all facilities"
    measured = f"measured from {moment_text(act.starts_at)} to {moment_text(act.ends_at)}"
    return f"archived messages of {whose} decoded again, {measured}"


def _database_restored(act: AdministrativeAct.DatabaseRestored) -> str:
    to = "the end of its archive" if act.target_at is None else moment_text(act.target_at)
    lost = ", ".join(
        f"{one.lost} of {one.log} (after {one.restored_position}, up to {one.archived_position})"
        for one in act.lost
        if one.lost
    )
    return (
        f"database restored to {to}: it extends checkpoint {act.extends_checkpoint}, and checkpoint "
        f"{act.last_checkpoint} was the last one archived; sealed domain events lost: {lost or 'none'}"
    )


def _forecast_overridden(act: Dispatch.ForecastOverridden) -> str:
    return f"degraded forecast of {act.facility_id} overridden in DR event {act.dr_event_id}: {act.reason}"


def _facilities(count: int) -> str:
    return f"{count} facilit{'y' if count == 1 else 'ies'}"


def _portfolio(utilities: int, programs: int, facilities: int) -> str:
    utilities_text = f"{utilities} utilit{'y' if utilities == 1 else 'ies'}"
    return f"{utilities_text}, {programs} program{'' if programs == 1 else 's'}, {_facilities(facilities)}"


def _utility(one: UtilityChange) -> str:
    """The utility with what changed of it, and the new references to its secrets."""
    values = {
        "webhook_secret_ref": one.webhook_secret_ref or "none",
        "callback_secret_ref": one.callback_secret_ref or "none",
    }
    changed = ", ".join(f"{name} {values[name]}" if name in values else name for name in one.changed)
    return f"{'new utility' if one.is_new else 'utility'} {one.utility_id}{f': {changed}' if changed else ''}"


def _digest(sha256: str | None) -> str:
    return "" if sha256 is None else f" (SHA-256 of the file {sha256})"


ACT_DESCRIPTIONS: dict[type[DomainEvent], Callable[[Any], str]] = {
    AdministrativeAct.ApiKeyIssued: _key_issued,
    AdministrativeAct.ApiKeyRotated: _key_rotated,
    AdministrativeAct.ApiKeyRevoked: _key_revoked,
    AdministrativeAct.MeterLoginCreated: _meter_login_created,
    AdministrativeAct.MeterLoginRevoked: _meter_login_revoked,
    AdministrativeAct.DeadLettersDecided: _dead_letters_decided,
    AdministrativeAct.AlertAcknowledged: _alert_acknowledged,
    AdministrativeAct.AlertCleared: _alert_cleared,
    AdministrativeAct.HistoryImportBegun: _history_import_begun,
    AdministrativeAct.HistoryImported: _history_imported,
    AdministrativeAct.HistoryImportTakenBack: _history_import_taken_back,
    AdministrativeAct.PortfolioImportBegun: _portfolio_import_begun,
    AdministrativeAct.PortfolioImported: _portfolio_imported,
    AdministrativeAct.MigrationApplied: _migration_applied,
    AdministrativeAct.PersonalDataForgotten: _personal_data_forgotten,
    AdministrativeAct.MeterReadingsRemoved: _meter_readings_removed,
    AdministrativeAct.MessagesDecodedAgain: _messages_decoded_again,
    AdministrativeAct.DatabaseRestored: _database_restored,
    Dispatch.ForecastOverridden: _forecast_overridden,
}
