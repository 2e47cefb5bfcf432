"""Spans of this process, kept in a list instead of sent to a collector."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from application.command_bus.spans import TRACING, Span


class RecordedSpans:
    """SpanRecorder. Each look at its clock is a nanosecond after the one before."""

    def __init__(self, *, samples: bool = True) -> None:
        self.spans: list[Span] = []
        self._samples = samples
        self._now_ns = count(1)

    def is_sampled(self, trace_id: str) -> bool:
        return self._samples

    def now_ns(self) -> int:
        return next(self._now_ns)

    def record(self, span: Span) -> None:
        self.spans.append(span)

    def named(self, name: str) -> Span:
        [found] = [span for span in self.spans if span.name == name]
        return found


@contextmanager
def recorded_spans(*, samples: bool = True) -> Iterator[RecordedSpans]:
    """The process records spans in the block."""
    TRACING.recorder = recorder = RecordedSpans(samples=samples)
    try:
        yield recorder
    finally:
        TRACING.recorder = None
