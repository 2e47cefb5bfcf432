"""Wiring of the secrets that a portfolio refers to, and the search for references that do not resolve."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import structlog

from application.facility.bms_networks import BmsAddressRefused, BmsNetworks
from application.facility.portfolio_validation import PortfolioRules
from application.facility.secret_references import (
    Purpose,
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

    from interfaces.bootstrap.stores import Stores

log = structlog.get_logger("secrets")
_BATCH = 500
_AWAY: tuple[type[Exception], ...] = (*UNAVAILABLE, ReadModelsUnavailable)
UNRESOLVED_ADVICE = (
    "set them for every process that uses them (web checks signatures, notify signs callbacks, dispatch logs in at "
    "BMSs), in its environment, in the folder of secrets or in its env file (docs/guides/production.md, Secrets)"
)
REFUSED_ADVICE = (
    "move each secret to a variable or a file of its purpose, and import the portfolio with the new "
    "references (docs/guides/production.md, Secrets)"
)


def secret_namespace(settings: Settings) -> SecretNamespace:
    return SecretNamespace(folder=str(settings.secrets_folder))


def portfolio_rules(settings: Settings) -> PortfolioRules:
    return PortfolioRules(secret_namespace(settings), BmsNetworks.of(settings.bms_networks))


def portfolio_secrets(settings: Settings) -> PortfolioSecrets:
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
        reserved=[reference for reference in referred if reference is not None],
    )


def recorded_references(stores: Stores) -> Iterator[RecordedReference]:
    """The references of all utilities and facilities as they are recorded now."""
    from domain.facility import Facility
    from domain.identifiers import facility_stream_id
    from interfaces.bootstrap.stores import facility_rows

    for entry in stores.utilities().listed():
        yield from references_of_utility(entry)
    streams = [facility_stream_id(row.facility_id) for row in facility_rows(stores)]
    for start in range(0, len(streams), _BATCH):
        for facility in stores.events.load_many(Facility, streams[start : start + _BATCH]).values():
            bms = facility.state.bms
            if bms is not None and bms.credentials_ref is not None:
                yield bms_reference(facility.state.facility_id, bms.credentials_ref)


class WrongReferences(NamedTuple):
    """`OWNER, FIELD: why` for each reference that does not resolve."""

    refused: list[str]
    """Those that no process resolves: outside of the namespace, or a secret of the service itself."""
    unresolved: list[str]
    """Those that this process cannot resolve: the variable may be another process's, the file another user's."""


def wrong_references(
    stores: Stores, recorded: Iterable[RecordedReference] | None = None, *, of: Purpose | None = None
) -> WrongReferences:
    """Of `recorded`; None: of the portfolio. Those of other purposes than `of` are left out; None: none is."""
    secrets = portfolio_secrets(stores.settings)
    wrong = WrongReferences([], [])
    for reference in recorded_references(stores) if recorded is None else recorded:
        if of not in (None, reference.purpose):
            continue
        try:
            secrets.resolve(reference.reference, purpose=reference.purpose)
        except SecretReferenceRefused as error:
            wrong.refused.append(f"{reference.owner}, {reference.field}: {error}")
        except SecretError as error:
            wrong.unresolved.append(f"{reference.owner}, {reference.field}: {error}")
    return wrong


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


def log_references(stores: Stores) -> None:
    """Name each of callbacks that does not resolve in the log of this process; none while the database is away."""
    try:
        refused, unresolved = wrong_references(stores, of="callback")
    except _AWAY as error:
        log.warning("the secret references were not looked at", why=str(error))
        return
    for named in refused:
        log.warning("a secret reference of the portfolio is refused", reference=named, advice=REFUSED_ADVICE)
    for named in unresolved:
        log.warning("a secret of the portfolio is not there", reference=named, advice=UNRESOLVED_ADVICE)


def callback_secrets(stores: Stores) -> Callable[[str], bytes | None]:
    """Utility -> the secret that signs our callbacks to it."""
    utilities = stores.utilities()
    secrets = portfolio_secrets(stores.settings)

    def secret_of(utility_id: str) -> bytes | None:
        entry = utilities.find(utility_id)
        if entry is None or entry.callback_secret_ref is None:
            return None
        return secrets.resolve(entry.callback_secret_ref, purpose="callback")

    return secret_of
