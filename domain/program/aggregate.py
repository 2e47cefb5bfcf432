"""The program aggregate. `DREvent.Accepted` records the version of its terms that applies."""

from __future__ import annotations

from typing import ClassVar, Self

import msgspec
from msgspec.structs import replace

from domain.event_sourcing.aggregate import Aggregate, CreationEvent, Provenance
from domain.identifiers import program_stream_id
from domain.program.terms import Terms


class ProgramState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a program."""

    program_id: str
    utility_id: str
    version: int = 0
    versions: dict[int, Terms] = {}
    """Every version ever agreed: a DR event keeps the version that it was accepted under."""

    @property
    def terms(self) -> Terms | None:
        """The newest version."""
        return self.versions.get(self.version)


class Program(Aggregate[ProgramState]):
    """A program of a utility."""

    TOPIC: ClassVar[str] = "program"

    class Event(Aggregate.Event, frozen=True, kw_only=True):
        """The base of every domain event of a program."""

        TOPIC: ClassVar[str] = "program.event"

    class Opened(CreationEvent, Event, frozen=True, kw_only=True):
        """The program exists from now on."""

        TOPIC: ClassVar[str] = "program.opened.v1"
        originator_topic: str
        program_id: str
        utility_id: str

        def initial_state(self) -> ProgramState:
            return ProgramState(program_id=self.program_id, utility_id=self.utility_id)

    class TermsAgreed(Event, frozen=True, kw_only=True):
        """A new version of the terms applies."""

        TOPIC: ClassVar[str] = "program.terms-agreed.v2"
        version: int
        terms: Terms

        def evolve(self, state: ProgramState) -> ProgramState:
            return replace(state, version=self.version, versions={**state.versions, self.version: self.terms})

    @classmethod
    def open(cls, provenance: Provenance, *, program_id: str, utility_id: str) -> Self:
        """Begin the stream of a program."""
        return cls.open_stream(
            program_stream_id(program_id),
            cls.Opened,
            provenance,
            program_id=program_id,
            utility_id=utility_id,
        )

    def agree_terms(self, provenance: Provenance, *, terms: Terms) -> None:
        """Record a new version of the terms; equal terms record nothing."""
        if terms != self.state.terms:
            self.record(self.TermsAgreed, provenance, version=self.state.version + 1, terms=terms)
