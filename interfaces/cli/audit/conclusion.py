"""The last sentence of `gridproof audit check`: what a file proves, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from application.ledger.checked_file import CheckedFile
    from application.ledger.proof_check import VerifiedProof


def conclusion_of(found: CheckedFile, checked: VerifiedProof) -> str:
    """A sentence."""
    return f"Proven: {_listed(_proven(found, checked))}. Not proven: {_listed(_not_proven(found, checked))}."


def _listed(parts: Iterator[str]) -> str:
    return "; ".join(parts)


def _proven(found: CheckedFile, checked: VerifiedProof) -> Iterator[str]:
    yield (
        f"whoever has the key {checked.public_key[:16]}... signed these {checked.domain_events} domain events under "
        f"checkpoint {checked.checkpoint} of {checked.sealed_at:%Y-%m-%d %H:%M:%SZ}, and none up to it is missing"
    )
    measurements, settlements = found.measurements, found.settlements
    if measurements is not None and (count := measurements.count("equal")):
        yield f"{count} of {len(measurements.facilities)} measurements follow from the readings in the file"
    if settlements is None or settlements.newest.differs:
        return
    newest = settlements.newest
    again = newest.from_readings
    basis = "the signed terms, DR event and measurements"
    if again is not None and 0 < again.facilities == again.measured:
        basis = "the signed terms and DR event, and from those readings"
    yield f"the settlement, revision {newest.revision}, {newest.outcome}, follows from {basis}, to the cent"


def _not_proven(found: CheckedFile, checked: VerifiedProof) -> Iterator[str]:
    measurements, settlements = found.measurements, found.settlements
    if not checked.key_was_given:
        yield "that this key is the operator's"
    if measurements is not None:
        all_of = len(measurements.facilities)
        if wrong := measurements.count("differs"):
            yield f"{wrong} of {all_of} measurements, which DIFFER"
        elif measurements.differs:
            yield "the sum of the measurements, which DIFFERS"
        if left := measurements.count("not_recomputed"):
            yield f"{left} of {all_of} measurements, which could not be computed again"
    if settlements is not None:
        if differing := [str(one.revision) for one in settlements.revisions if one.differs]:
            yield f"the settlement, which DIFFERS in revision {', '.join(differing)}"
        if not settlements.is_newest:
            yield "that the settlement is up to date: what was recorded after it gives other figures"
    yield f"what was recorded after checkpoint {checked.checkpoint}"
    yield "that the meters measured rightly"
