"""The responses of callers during an outage, and their classification as in docs/degradation.md."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import msgspec

LABELS = ("last_known", "read_models", "replica")


@dataclass(frozen=True)
class Answer:
    """A response. `status` 0: there was none, for the reason in `error`."""

    sent_at: float
    """On the test's monotonic clock, as `got_at`."""
    got_at: float
    status: int
    headers: Mapping[str, str]
    body: bytes
    error: str = ""

    @cached_property
    def document(self) -> dict[str, Any]:
        try:
            found = msgspec.json.decode(self.body)
        except msgspec.MsgspecError:
            return {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def word(self) -> str:
        """The word of the page for this response, or a description if the page has none."""
        if self.status == 0:
            return f"no answer: {self.error}"
        if self.status == 503:
            return self._word_of_refusal()
        if self.status not in {200, 201, 202, 304}:
            return f"{self.status}: {self.body[:200]!r}"
        if "x-stale" in self.headers:
            return self._word_of_label()
        if self.document.get("unknown") and "queues" in self.document:
            return "parts"
        if "dependencies" in self.document:
            return str(self.document["status"])
        if "counts_as" in self.document and self.document.get("stale"):
            return "old"
        return "fresh" if self.document.get("source") not in LABELS else "a label without a header"

    def _word_of_refusal(self) -> str:
        if "dependencies" in self.document:
            return str(self.document["status"])
        honest = self.document.get("type") == "/problems/unavailable" and self.retry_after >= 1
        return "503" if honest else f"503 that does not say when again: {self.body[:200]!r}"

    def _word_of_label(self) -> str:
        """The headers must match the labels in the document or its items."""
        if self.headers["x-stale"] != "true" or not self.headers.get("age", "").isdigit():
            return f"headers that say nothing: {self.headers}"
        document = self.document
        if self.status == 304:
            return "304 with a label"
        if document.get("stale") is True and document.get("source") in LABELS and document["age_s"] >= 0:
            return str(document["source"])
        of_items = {item.get("source") for item in document.get("items", ())}
        return "last_known" if "last_known" in of_items else f"no label in the document: {self.body[:200]!r}"

    @property
    def retry_after(self) -> int:
        said = self.headers.get("retry-after", "")
        return int(said) if said.isdigit() else 0

    @property
    def age_s(self) -> float | None:
        found = self.document.get("age_s")
        return None if found is None else float(found)

    @property
    def measured_at(self) -> datetime | None:
        """The time of a current value, or of the newest of many."""
        rows = [self.document, *self.document.get("items", ())]
        found = [datetime.fromisoformat(row["measured_at"]) for row in rows if row.get("measured_at")]
        return max(found, default=None)


def word_of(answers: Sequence[Answer]) -> str:
    """The common word of consecutive responses, or all of them. `ages`: the newest reading does not change."""
    words = list(dict.fromkeys(answer.word for answer in answers))
    if words != ["fresh"]:
        return " then ".join(words) or "nothing was asked"
    measured = [answer.measured_at for answer in answers if answer.measured_at is not None]
    stands = len(measured) >= 2 and measured[0] == measured[-1]
    return "ages" if stands and all(_is_old(answer) for answer in answers[-1:]) else "fresh"


def _is_old(answer: Answer) -> bool:
    rows = [answer.document, *answer.document.get("items", ())]
    return all(row["stale"] for row in rows if row.get("measured_at"))


def grows(answers: Sequence[Answer]) -> bool:
    """Whether the reported age, if any, increases from response to response."""
    ages = [answer.age_s for answer in answers if answer.age_s is not None]
    return all(before <= after for before, after in itertools.pairwise(ages)) and (
        len(ages) < 2 or ages[0] < ages[-1]
    )
