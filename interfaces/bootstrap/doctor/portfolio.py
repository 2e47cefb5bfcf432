"""The checks of what the portfolio refers to, for `gridproof doctor`: secrets, and addresses of BMSs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interfaces.bootstrap.doctor.result import CheckResult
from interfaces.bootstrap.secrets import (
    OLD_REFERENCE_ADVICE,
    is_refused,
    old_references,
    refused_bms_addresses,
    secret_namespace,
)

if TYPE_CHECKING:
    from interfaces.bootstrap.stores import Stores

SECRETS = "secrets"
BMS_ADDRESSES = "bms addresses"
_MOST_SHOWN = 20


def check_secret_references(stores: Stores) -> CheckResult:
    """Names each reference outside of the namespace; `wrong` where one is refused already."""
    folder = secret_namespace(stores.settings).folder
    old = old_references(stores)
    if not old:
        return CheckResult(
            check=SECRETS, state="ok", detail=f"references to env:GRIDPROOF_SECRET_* and {folder}"
        )
    judged = [(one.named, is_refused(stores, one.reference)) for one in old]
    refused = [named for named, is_out in judged if is_out]
    until = stores.settings.old_secret_references_until
    end = "no end is set" if until is None else f"until {until:%Y-%m-%d %H:%MZ}"
    detail = f"{len(old)} outside of the namespace ({end}), {len(refused)} refused: " + "; ".join(
        named + (" (refused)" if is_out else "") for named, is_out in judged
    )
    return CheckResult(
        check=SECRETS,
        state="wrong" if refused else "warning",
        detail=detail,
        advice=OLD_REFERENCE_ADVICE,
        facts={"old": [one.named for one in old], "refused": refused},
    )


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
