"""The checks of what the portfolio refers to, for `gridproof doctor`: secrets, and addresses of BMSs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interfaces.bootstrap.doctor.result import CheckResult, named_first
from interfaces.bootstrap.secrets import (
    REFUSED_ADVICE,
    UNRESOLVED_ADVICE,
    recorded_references,
    refused_bms_addresses,
    wrong_references,
)

if TYPE_CHECKING:
    from interfaces.bootstrap.stores import Stores

SECRETS = "secrets"
BMS_ADDRESSES = "bms addresses"
_MOST_SHOWN = 20


def check_secret_references(stores: Stores) -> CheckResult:
    """`wrong` where a reference is refused, or this process cannot resolve it; each is named."""
    recorded = list(recorded_references(stores))
    refused, unresolved = wrong_references(stores, recorded)
    if not refused and not unresolved:
        detail = (
            f"{len(recorded)} resolve; references to variables and files in {stores.settings.secrets_folder}"
        )
        return CheckResult(check=SECRETS, state="ok", detail=detail)
    parts = []
    if unresolved:
        parts.append(f"{len(unresolved)} not there for this process: {named_first(unresolved)}")
    if refused:
        parts.append(f"{len(refused)} refused: {named_first(refused)}")
    return CheckResult(
        check=SECRETS,
        state="wrong",
        detail="; ".join(parts),
        advice="; ".join([UNRESOLVED_ADVICE] * bool(unresolved) + [REFUSED_ADVICE] * bool(refused)),
        facts={"refused": refused, "unresolved": unresolved},
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
