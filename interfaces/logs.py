"""Logs: structured lines on stderr, as JSON where the settings say so; they never hold a secret."""

import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import orjson
import stamina
import structlog
from stamina.instrumentation import PrometheusOnRetryHook

from interfaces.settings.settings import Settings

OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_SERIALIZE_NUMPY
"""A dataclass is logged by its repr, which leaves out what it hides."""


def configure_logs(settings: Settings, *, process: str) -> None:
    """Call it once per process, before anything is logged."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    renderer: structlog.types.Processor
    factory: Callable[..., Any]
    if settings.log_json:
        renderer = structlog.processors.JSONRenderer(serializer=as_json)
        factory = structlog.BytesLoggerFactory(sys.stderr.buffer)
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        factory = structlog.PrintLoggerFactory(sys.stderr)
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
    logging.basicConfig(level=max(level, logging.WARNING), stream=sys.stderr, format="%(name)s: %(message)s")
    stamina.instrumentation.set_on_retry_hooks([PrometheusOnRetryHook])  # the callers log their own retries


def as_json(line: Any, *, default: Callable[[Any], Any]) -> bytes:
    """One log line. The standard encoder takes what orjson refuses: lone surrogates and integers beyond 64 bits."""
    try:
        return orjson.dumps(line, default=default, option=OPTIONS)
    except TypeError:
        return json.dumps(line, default=default).encode()
