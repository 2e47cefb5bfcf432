"""Wiring of the secrets that a portfolio refers to, and the search for references of before ADR 0066."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import structlog

from application.facility.bms_networks import BmsAddressRefused, BmsNetworks
from application.facility.portfolio_validation import PortfolioRules
from application.facility.secret_references import (
    RecordedReference,
    SecretNamespace,
    bms_reference,
    references_of_utility,
)
from application.ports.unavailable import UNAVAILABLE
from interfaces.settings.secrets import PortfolioSecrets, SecretError, SecretReferenceRefused
from interfaces.settings.settings import Settings
from projections.engine.projection import ReadModelsUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from application.ports.clock import Clock
    from interfaces.bootstrap.stores import Stores

log = structlog.get_logger("secrets")
_BATCH = 500
_AWAY: tuple[type[Exception], ...] = (*UNAVAILABLE, ReadModelsUnavailable)
UNRESOLVED_ADVICE = (
    "set them for every process that uses them (web checks signatures, notify signs callbacks, dispatch logs in at "
    "BMSs), in its environment, in the folder of secrets or in its env file (docs/guides/operator.md, Secrets)"
)
OLD_REFERENCE_ADVICE = (
    "move each secret to env:GRIDPROOF_SECRET_* or into the folder of secrets, import the portfolio with the new "
    "references, and set GRIDPROOF_OLD_SECRET_REFERENCES_UNTIL (docs/guides/operator.md, Secrets)"
)


def secret_namespace(settings: Settings) -> SecretNamespace:
    return SecretNamespace(folder=str(settings.secrets_folder))


def portfolio_rules(settings: Settings) -> PortfolioRules:
    return PortfolioRules(secret_namespace(settings), BmsNetworks.of(settings.bms_networks))


def portfolio_secrets(settings: Settings, clock: Clock) -> PortfolioSecrets:
    """The secrets of utilities and BMSs."""
    referred = (
        settings.ledger_key,
        settings.snapshot_key,
        settings.weather_key,
        settings.influx_token,
        settings.archive_s3_secret,
        settings.alert_webhook_secret,
        settings.alert_smtp_password,
        *(f"file:{file.absolute()}" for file in (settings.mqtt_key_file,) if file is not None),
    )
    return PortfolioSecrets(
        secret_namespace(settings),
        now=clock.now,
        old_until=settings.old_secret_references_until,
        private_folders=(settings.data_dir,),
        reserved=[reference for reference in referred if reference is not None],
    )


def recorded_references(
    stores: Stores, *, utility_ids: Iterable[str] | None = None, facility_ids: Iterable[str] | None = None
) -> Iterator[RecordedReference]:
    """The references of these utilities and facilities as they are recorded now; None: of all."""
    from domain.facility import Facility
    from domain.identifiers import facility_stream_id
    from interfaces.bootstrap.stores import facility_rows

    wanted = None if utility_ids is None else set(utility_ids)
    for entry in stores.utilities().listed():
        if wanted is None or entry.utility_id in wanted:
            yield from references_of_utility(entry)
    if facility_ids is None:
        facility_ids = [row.facility_id for row in facility_rows(stores)]
    streams = [facility_stream_id(facility_id) for facility_id in facility_ids]
    for start in range(0, len(streams), _BATCH):
        for facility in stores.events.load_many(Facility, streams[start : start + _BATCH]).values():
            bms = facility.state.bms
            if bms is not None and bms.credentials_ref is not None:
                yield bms_reference(facility.state.facility_id, bms.credentials_ref)


def old_references(stores: Stores) -> list[RecordedReference]:
    """The recorded references outside of the namespace."""
    namespace = secret_namespace(stores.settings)
    return [one for one in recorded_references(stores) if not namespace.contains(one.reference)]


def unresolved_references(stores: Stores, recorded: Iterable[RecordedReference] | None = None) -> list[str]:
    """`OWNER, FIELD: why` for each of `recorded` (None: of the portfolio) that this process cannot resolve.

    One that is refused is not among them.
    """
    secrets = portfolio_secrets(stores.settings, stores.clock)
    unresolved = []
    for one in recorded_references(stores) if recorded is None else recorded:
        try:
            secrets.resolve(one.reference)
        except SecretReferenceRefused:
            continue
        except SecretError as error:
            unresolved.append(f"{one.owner}, {one.field}: {error}")
    return unresolved


def refused_bms_addresses(stores: Stores) -> list[str]:
    """`FACILITY: why` for each registered BMS address that is in no allowed network, as far as it shows unresolved."""
    from interfaces.bootstrap.stores import facility_rows

    networks = BmsNetworks.of(stores.settings.bms_networks)
    refused = []
    for row in facility_rows(stores):
        try:
            networks.check_url(row.bms_address or "")
        except BmsAddressRefused as error:
            refused.append(f"{row.facility_id}: {error}")
    return refused


def is_refused(stores: Stores, reference: str) -> bool:
    """Whether the reference does not resolve because of what it names, or because its time is over."""
    try:
        portfolio_secrets(stores.settings, stores.clock).resolve(reference)
    except SecretReferenceRefused:
        return True
    except SecretError:
        return False  # the variable may be another process's, the file another user's
    return False


def log_references(stores: Stores) -> None:
    """Name each old one, and each that does not resolve, in the log of this process; none while the database is
    away."""
    try:
        old, unresolved = old_references(stores), unresolved_references(stores)
    except _AWAY as error:
        log.warning("the secret references were not looked at", why=str(error))
        return
    for one in old:
        log.warning(
            "a secret reference is outside of the namespace",
            owner=one.owner,
            field=one.field,
            reference=one.reference,
            refused=is_refused(stores, one.reference),
            advice=OLD_REFERENCE_ADVICE,
        )
    for named in unresolved:
        log.warning("a secret of the portfolio is not there", reference=named, advice=UNRESOLVED_ADVICE)


def callback_secrets(stores: Stores) -> Callable[[str], bytes | None]:
    """Utility -> the secret that signs our callbacks to it."""
    utilities = stores.utilities()
    secrets = portfolio_secrets(stores.settings, stores.clock)

    def secret_of(utility_id: str) -> bytes | None:
        entry = utilities.find(utility_id)
        if entry is None or entry.callback_secret_ref is None:
            return None
        return secrets.resolve(entry.callback_secret_ref)

    return secret_of
