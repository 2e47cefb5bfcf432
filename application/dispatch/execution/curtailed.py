"""CurtailedDispatch: a dispatch whose building is curtailed now, as a check of the building needs it."""

from collections.abc import Iterable
from typing import Protocol
from uuid import UUID


class CurtailedDispatch(Protocol):
    """The fields of such a dispatch in the read model."""

    @property
    def dr_event_id(self) -> UUID: ...
    @property
    def facility_id(self) -> str: ...
    @property
    def tenant(self) -> str | None: ...
    @property
    def correlation_id(self) -> UUID: ...
    @property
    def trace_id(self) -> str: ...


def no_dispatch(facility_id: str) -> Iterable[CurtailedDispatch]:
    """Where nothing is curtailed."""
    return ()
