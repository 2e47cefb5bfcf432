"""Parser of as-of values: a time with its UTC offset, or a position of the log."""

from datetime import UTC, datetime

from projections.audit.stream_log import AsOf

MOST_DIGITS = 18
"""Of a position: every number of so many digits fits into PostgreSQL's bigint."""


class NotAMomentOrPosition(ValueError):
    """The text is neither a time nor a position."""


def read_as_of(written: str) -> AsOf:
    """`2026-07-14T21:30:00Z` (RFC 3339, any offset), in UTC, or `1234`. Raises NotAMomentOrPosition."""
    if written.isascii() and written.isdigit() and len(written) <= MOST_DIGITS:
        return int(written)
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        raise NotAMomentOrPosition(
            f"{written[:80]!r} is neither a time in ISO 8601, such as 2026-07-14T21:00:00Z, nor a position of the log"
        ) from None
    if moment.tzinfo is None:
        raise NotAMomentOrPosition(f"{written!r} has no UTC offset; add Z or one such as +01:00")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise NotAMomentOrPosition(f"{written!r} is in UTC no time of the years 1 to 9999") from None
