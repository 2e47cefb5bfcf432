"""The checks of what the portfolio refers to, for `gridproof doctor`: secrets, and addresses of BMSs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from interfaces.bootstrap.doctor.result import CheckResult, named_first
from interfaces.bootstrap.secrets import (
    OLD_REFERENCE_ADVICE,
    UNRESOLVED_ADVICE,
    is_refused,
    recorded_references,
    refused_bms_addresses,
    secret_namespace,
    unresolved_references,
)

if TYPE_CHECKING:
    from application.facility.secret_references import RecordedReference
    from interfaces.bootstrap.stores import Stores

SECRETS = "secrets"
BMS_ADDRESSES = "bms addresses"
_MOST_SHOWN = 20


def check_secret_references(stores: Stores) -> CheckResult:
    """Names each reference outside of the namespace, and each that this process cannot resolve.

    `wrong` where one is refused already, or does not resolve.
    """
    recorded = list(recorded_references(stores))
    namespace = secret_namespace(stores.settings)
    old = [one for one in recorded if not namespace.contains(one.reference)]
    unresolved = unresolved_references(stores, recorded)
    if not old and not unresolved:
        detail = f"{len(recorded)} resolve; references to env:GRIDPROOF_SECRET_* and {namespace.folder}"
        return CheckResult(check=SECRETS, state="ok", detail=detail)
    refused = [one.named for one in old if is_refused(stores, one.reference)]
    parts = []
    if unresolved:
        parts.append(f"{len(unresolved)} not there for this process: {named_first(unresolved)}")
    if old:
        parts.append(_described(stores, old, refused))
    return CheckResult(
        check=SECRETS,
        state="wrong" if refused or unresolved else "warning",
        detail="; ".join(parts),
        advice="; ".join([UNRESOLVED_ADVICE] * bool(unresolved) + [OLD_REFERENCE_ADVICE] * bool(old)),
        facts={"old": [one.named for one in old], "refused": refused, "unresolved": unresolved},
    )


def _described(stores: Stores, old: Sequence[RecordedReference], refused: Collection[str]) -> str:
    until = stores.settings.old_secret_references_until
    end = "no end is set" if until is None else f"until {until:%Y-%m-%d %H:%MZ}"
    named = "; ".join(one.named + (" (refused)" if one.named in refused else "") for one in old)
    return f"{len(old)} outside of the namespace ({end}), {len(refused)} refused: {named}"


def check_bms_addresses(stores: Stores) -> CheckResult:
    """`wrong` where a registered BMS is in no allowed network, and so is not called."""
    refused = refused_bms_addresses(stores)
    networks = stores.settings.bms_networks or "all networks but this machine's"
    if not refused:
        return CheckResult(check=BMS_ADDRESSES, state="ok", detail=f"in {networks}")
    more = "" if len(refused) <= _MOST_SHOWN else f"; and {len(refused) - _MOST_SHOWN} more"
    return CheckResult(
        check=BMS_ADDRESSES,
        state="wrong",
        detail="; ".join(refused[:_MOST_SHOWN]) + more,
        advice="name their networks in GRIDPROOF_BMS_NETWORKS, or correct the addresses",
    )
