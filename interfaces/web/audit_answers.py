"""Audits of a DR event, folded again only where the log says something else than before.

The log is read each time. The fold is pure: of the same entries it is the same document, but for the position that it
was taken at.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from uuid import UUID

import msgspec

from projections.audit_replay import AuditDocument, facility_names, past_story, replay
from projections.story_log import AsOf, StoryEntry, StoryLog

MOST_ENTRIES = 50_000
"""Of all documents that are remembered together; the least recently asked for is forgotten first."""
_encode = msgspec.json.Encoder().encode


class AuditAnswers:
    """Of one process; used from threads."""

    def __init__(self, log: StoryLog, *, most_entries: int = MOST_ENTRIES) -> None:
        self._log = log
        self._most_entries = most_entries
        self._told: OrderedDict[tuple[UUID, AsOf | None], tuple[list[StoryEntry], AuditDocument]] = (
            OrderedDict()
        )
        self._entries = 0
        self._lock = Lock()

    def encoded(self, dr_event_id: UUID, *, as_of: AsOf | None) -> bytes:
        """As JSON. Raises UnknownStory, PositionAhead or StoryLogUnavailable."""
        position, story = past_story(self._log, dr_event_id, as_of)
        entries = [entry for entry in story if entry.position <= position]
        with self._lock:
            told = self._told.get((dr_event_id, as_of))
            if told is not None:
                self._told.move_to_end((dr_event_id, as_of))
        if told is None or told[0] != entries:  # by identity first, where they are remembered as well
            document = replay(
                entries, dr_event_id, names=facility_names(story), as_of=as_of, position=position
            )
            self._remember((dr_event_id, as_of), entries, document)
        else:
            document = msgspec.structs.replace(told[1], position=position)
        return _encode(document)

    def _remember(
        self, asked: tuple[UUID, AsOf | None], entries: list[StoryEntry], document: AuditDocument
    ) -> None:
        with self._lock:
            before = self._told.pop(asked, None)
            self._entries -= 0 if before is None else len(before[0])
            if len(entries) > self._most_entries:
                return
            self._told[asked] = entries, document
            self._entries += len(entries)
            while self._entries > self._most_entries:
                _, (forgotten, _) = self._told.popitem(last=False)
                self._entries -= len(forgotten)
