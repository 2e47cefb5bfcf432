"""The namespace of secret references in a portfolio: variables `GRIDPROOF_SECRET_*`, and files below one folder.

A reference outside it could name any secret of the service (the owner's database address, the key of the ledger),
which a call would then send to an address that the same portfolio names (ADR 0066).
"""

import posixpath
from collections.abc import Iterator
from typing import Literal, NamedTuple

import msgspec

from application.facility.portfolio_entries import FacilityEntry, Portfolio, UtilityEntry

PREFIX = "GRIDPROOF_SECRET_"
_OLD_FORMS = ("env:", "file:/")


class RecordedReference(NamedTuple):
    """A reference, and the field of the entry that holds it."""

    owner: str
    """`utility ID` or `facility ID`."""
    field: Literal["webhook_secret_ref", "callback_secret_ref", "bms.credentials_ref"]
    reference: str

    @property
    def named(self) -> str:
        return f"{self.owner}, {self.field}: {self.reference}"


class SecretNamespace(msgspec.Struct, frozen=True, kw_only=True):
    """The references that a portfolio may hold."""

    folder: str
    """Absolute and normalized."""

    def contains(self, reference: str) -> bool:
        """Whether `reference` is in the namespace by its form; the file of one that is may still be refused."""
        scheme, _, place = reference.partition(":")
        if scheme == "env":
            return place.startswith(PREFIX) and place != PREFIX and place.isidentifier()
        return scheme == "file" and self.path_below(place) is not None

    def path_below(self, place: str) -> tuple[str, ...] | None:
        """The components of a file's absolute path below the folder; None for any other path."""
        if "\0" in place or not place.startswith("/") or posixpath.normpath(place) != place:
            return None
        below = place.removeprefix(self.folder.rstrip("/") + "/")
        return None if below == place else tuple(below.split("/"))

    def problem(self, reference: str) -> str | None:
        """Why a new reference is refused; None if it is not. It is not repeated: it may be the secret itself."""
        if self.contains(reference):
            return None
        if not is_reference(reference):
            return f"a secret is referred to as {self._forms}"
        return f"this reference is outside of the namespace of secrets; use {self._forms}"

    @property
    def _forms(self) -> str:
        return f"env:{PREFIX}NAME or file:{self.folder.rstrip('/')}/NAME"


def is_reference(text: str) -> bool:
    """Whether it has the form of a reference, of the namespace or of releases before it."""
    return text.startswith(_OLD_FORMS)


def references_of_utility(entry: UtilityEntry) -> Iterator[RecordedReference]:
    owner = f"utility {entry.utility_id}"
    if entry.webhook_secret_ref is not None:
        yield RecordedReference(owner, "webhook_secret_ref", entry.webhook_secret_ref)
    if entry.callback_secret_ref is not None:
        yield RecordedReference(owner, "callback_secret_ref", entry.callback_secret_ref)


def references_of(portfolio: Portfolio) -> Iterator[RecordedReference]:
    """All that a portfolio file holds."""
    for utility in portfolio.utilities:
        yield from references_of_utility(utility)
    for facility in portfolio.facilities:
        yield from references_of_facility(facility)


def references_of_facility(entry: FacilityEntry) -> Iterator[RecordedReference]:
    if entry.bms.credentials_ref is not None:
        yield bms_reference(entry.facility_id, entry.bms.credentials_ref)


def bms_reference(facility_id: str, reference: str) -> RecordedReference:
    return RecordedReference(f"facility {facility_id}", "bms.credentials_ref", reference)
