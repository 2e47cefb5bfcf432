"""The check of the meters for `gridproof doctor`: facilities that list none, and meters that are silent."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from application.telemetry.missing_readings_alert import MissingReadings
from interfaces.bootstrap.doctor.result import CheckResult, named_first

if TYPE_CHECKING:
    from interfaces.bootstrap.stores import Stores

NAME = "meters"
_LIST_ADVICE = "list their meters in the portfolio file, then `gridproof facilities import`"
_SILENT_ADVICE = (
    "see docs/runbooks/readings_missing.md, and `gridproof telemetry meters FACILITY` for their last readings"
)


def check_meters(stores: Stores) -> CheckResult:
    listed = stores.listed_meters()
    listing = listed.everything()
    return assess(listing, MissingReadings(stores.telemetry(), listed, stores.clock).silent_of(listing))


def assess(listing: Mapping[str, Collection[str]], silent: Mapping[str, Collection[str]]) -> CheckResult:
    """A warning where meters are silent, or facilities list none: readings of whatever meter id then count for them."""
    open_to_any = sorted(facility_id for facility_id, meters in listing.items() if not meters)
    names = [f"{facility_id}/{meter}" for facility_id in sorted(silent) for meter in silent[facility_id]]
    facts = {"facilities_without_meters": len(open_to_any), "silent": names}
    problems = dict(_problems(open_to_any, names))
    if problems:
        return CheckResult(
            check=NAME,
            state="warning",
            detail="; ".join(problems),
            advice="; ".join(problems.values()),
            facts=facts,
        )
    count = sum(map(len, listing.values()))
    return CheckResult(check=NAME, state="ok", detail=f"{count} listed; no other counts", facts=facts)


def _problems(open_to_any: list[str], silent: list[str]) -> Iterator[tuple[str, str]]:
    """Each with its advice."""
    if silent:
        yield f"{len(silent)} silent: {named_first(silent)}", _SILENT_ADVICE
    if open_to_any:
        named = named_first(open_to_any)
        yield (
            f"facilities that list no meters, so that readings of any meter count ({len(open_to_any)}): {named}",
            _LIST_ADVICE,
        )
