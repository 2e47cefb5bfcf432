"""Logs: structured lines on stderr, as JSON where the settings say so; they never hold a secret."""

import faulthandler
import json
import logging
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

import orjson
import stamina
import structlog
from prometheus_client import Counter
from stamina.instrumentation import PrometheusOnRetryHook

from interfaces.settings.settings import Settings

OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_SERIALIZE_NUMPY
"""A dataclass is logged by its repr, which leaves out what it hides."""
LINES_DROPPED = Counter(
    "gridproof_log_lines_dropped",
    "Log lines of this process that could not be written, such as to a full disk",
)


def configure_logs(settings: Settings, *, process: str) -> None:
    """Call it once per process, before anything is logged.

    A crash of the interpreter writes the stacks of its threads to stderr as well, as plain text.
    """
    faulthandler.enable()
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    renderer: structlog.types.Processor
    factory: Callable[..., Any]
    output = LossyOutput(sys.stderr.buffer)
    if settings.log_json:
        renderer = structlog.processors.JSONRenderer(serializer=as_json)
        factory = structlog.BytesLoggerFactory(output)  # type: ignore[arg-type]  # it writes and flushes
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        factory = structlog.WriteLoggerFactory(LossyTextOutput(output))  # type: ignore[arg-type]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    lines = LossyTextOutput(output)
    logging.basicConfig(level=max(level, logging.WARNING), stream=lines, format="%(name)s: %(message)s")
    stamina.instrumentation.set_on_retry_hooks([PrometheusOnRetryHook])  # the callers log their own retries


class LossyOutput:
    """A binary output that drops what it cannot write, and counts it: a full disk fails no request that is logged.

    It writes past the buffer of `output`, which would keep what failed and raise again at the next line.
    """

    def __init__(self, output: BinaryIO) -> None:
        output.flush()
        self._raw: BinaryIO = getattr(output, "raw", output)
        self._is_in_line = False

    def write(self, data: bytes) -> int:
        """Never raises."""
        try:
            written = self._raw.write(b"\n" + data if self._is_in_line else data) or 0
            self._is_in_line = 0 < written < len(data)
        except (OSError, ValueError):  # full, not connected, or closed
            written = 0
        if written < len(data):
            LINES_DROPPED.inc()
        return len(data)

    def flush(self) -> None:
        """Nothing: a written line is not buffered."""


class LossyTextOutput:
    """Text lines to a LossyOutput."""

    def __init__(self, output: LossyOutput) -> None:
        self._output = output

    def write(self, text: str) -> int:
        self._output.write(text.encode("utf-8", errors="backslashreplace"))
        return len(text)

    def flush(self) -> None:
        """Nothing: a written line is not buffered."""


def as_json(line: Any, *, default: Callable[[Any], Any]) -> bytes:
    """A log line. The standard encoder takes what orjson refuses: lone surrogates and integers beyond 64 bits."""
    try:
        return orjson.dumps(line, default=default, option=OPTIONS)
    except TypeError:
        return json.dumps(line, default=default).encode()
