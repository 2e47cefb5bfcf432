"""The namespace of secret references in a portfolio: for each purpose of a secret, variables and a folder.

A reference outside it could name any secret of the service (the owner's database address, the key of the ledger), and
one of another purpose that of a utility, which a call would then send as the password of a building to an address that
the same portfolio names (ADR 0066).
"""

import posixpath
from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

import msgspec

from application.facility.portfolio_entries import FacilityEntry, Portfolio, UtilityEntry

PREFIX = "GRIDPROOF_SECRET_"
Purpose = Literal["bms", "webhook", "callback"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
_FORMS = ("env:", "file:/")


class RecordedReference(NamedTuple):
    """A reference, and the field of the entry that holds it."""

    owner: str
    """`utility ID` or `facility ID`."""
    field: Literal["webhook_secret_ref", "callback_secret_ref", "bms.credentials_ref"]
    purpose: Purpose
    reference: str

    @property
    def named(self) -> str:
        return f"{self.owner}, {self.field}: {self.reference}"


class SecretNamespace(msgspec.Struct, frozen=True, kw_only=True):
    """The references that a portfolio may hold."""

    folder: str
    """Absolute and normalized."""

    def contains(self, reference: str, purpose: Purpose) -> bool:
        """True if `reference` is one of `purpose` by its form; the file of one that is may still be refused."""
        scheme, _, place = reference.partition(":")
        if scheme == "env":
            return place.isidentifier() and purpose_of_variable(place) == purpose
        below = self.path_below(place) if scheme == "file" else None
        return below is not None and len(below) > 1 and below[0] == purpose

    def path_below(self, place: str) -> tuple[str, ...] | None:
        """The components of a file's absolute path below the folder; None for any other path."""
        if "\0" in place or not place.startswith("/") or posixpath.normpath(place) != place:
            return None
        below = place.removeprefix(self.folder.rstrip("/") + "/")
        return None if below == place else tuple(below.split("/"))

    def problem(self, reference: str, purpose: Purpose) -> str | None:
        """Why a reference is refused; None if it is not. It is not repeated: it may be the secret itself."""
        if self.contains(reference, purpose):
            return None
        if not is_reference(reference):
            return f"a secret is referred to as {self._forms(purpose)}"
        return f"this reference is outside of the secrets of its purpose; use {self._forms(purpose)}"

    def _forms(self, purpose: Purpose) -> str:
        return f"env:{PREFIX}{purpose.upper()}_NAME or file:{self.folder.rstrip('/')}/{purpose}/NAME"


def purpose_of_variable(name: str) -> Purpose | None:
    """The purpose of the secrets with such names; None: no portfolio may refer to it."""
    for purpose in PURPOSES:
        if len(name) > len(before := f"{PREFIX}{purpose.upper()}_") and name.startswith(before):
            return purpose
    return None


def is_reference(text: str) -> bool:
    """True if it has the form of a reference, in the namespace or outside."""
    return text.startswith(_FORMS)


def references_of_utility(entry: UtilityEntry) -> Iterator[RecordedReference]:
    owner = f"utility {entry.utility_id}"
    if entry.webhook_secret_ref is not None:
        yield RecordedReference(owner, "webhook_secret_ref", "webhook", entry.webhook_secret_ref)
    if entry.callback_secret_ref is not None:
        yield RecordedReference(owner, "callback_secret_ref", "callback", entry.callback_secret_ref)


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
    return RecordedReference(f"facility {facility_id}", "bms.credentials_ref", "bms", reference)
