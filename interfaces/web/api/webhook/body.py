"""The body of a notification: decoded strictly, with every wrong field named at once.

Unknown fields are ignored, since a utility may send more than is used here, but their number is limited. The domain
decides whether the DR event is feasible.
"""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from domain.dr_event import EventPrice, Notice
from domain.event_sourcing.decoders import converted
from interfaces.web.problems import Problem, ProblemReason

MOST_FIELDS, MOST_REASONS, MOST_FACILITIES = 64, 50, 2_000
MOST_NUMBER = 1_000_000
MOST_PUT_OFF_S = 86_400

# No control characters: they have no place in an id, and NUL none in PostgreSQL.
MOST_ID_CHARACTERS = 200
ID_PATTERN = r"^[^\x00-\x1f\x7f]+(?!\n)$"
"""In Python `$` also matches before a newline at the end."""
Id = Annotated[str, Meta(min_length=1, max_length=MOST_ID_CHARACTERS, pattern=ID_PATTERN)]
EVENT_ID_PATTERN = r"^(?!\.{1,2}$)[^\x00-\x1f\x7f/]+(?!\n)$"
"""Of an id that is one part of an address: those of a modification and of a cancellation name it."""
EventId = Annotated[str, Meta(min_length=1, max_length=MOST_ID_CHARACTERS, pattern=EVENT_ID_PATTERN)]
MOST_FACILITY_ID_CHARACTERS = 63
"""No facility of a portfolio has a longer id."""
FacilityId = Annotated[str, Meta(min_length=1, max_length=MOST_FACILITY_ID_CHARACTERS, pattern=ID_PATTERN)]
Moment = Annotated[datetime, Meta(tz=True)]
MOST_PRICES = 31 * 96
"""The quarter-hours of the longest window that a program may agree on."""
PriceString = Annotated[str, Meta(pattern=r"^-?[0-9]{1,9}(\.[0-9]{1,9})?(?!\n)$", max_length=20)]
"""An exact decimal without exponent."""


class PriceBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The price of one settlement interval, in the program's currency per kWh. Unknown members are refused, since one
    may say that the number means something else."""

    starts_at: Moment
    """The start of a settlement interval."""
    per_kwh: PriceString
    """A decimal as a string; it may be negative."""


class NotificationBody(msgspec.Struct, frozen=True, kw_only=True):
    """A DR event as a utility requests it; times are RFC 3339 with an offset."""

    notification_id: Id
    """Idempotency key, unless the header `Idempotency-Key` is given."""
    event_id: EventId
    """The utility's id of the DR event; no `/`, since addresses name it."""
    modification_number: Annotated[int, Meta(ge=0, le=MOST_NUMBER)] = 0
    program: Id
    starts_at: Moment
    ends_at: Moment
    target_reduction_kw: Annotated[float, Meta(ge=-1e9, le=1e9)]
    facility_ids: Annotated[tuple[FacilityId, ...], Meta(max_length=MOST_FACILITIES)]
    priority: Annotated[int, Meta(ge=0, le=1_000_000)] = 1
    callback_url: Annotated[str, Meta(max_length=2_000)] | None = None
    randomize_start_s: Annotated[int, Meta(ge=0, le=MOST_PUT_OFF_S)] = 0
    """The start may be delayed by a random time up to this, drawn once."""
    kind: Annotated[str, Meta(min_length=1, max_length=50, pattern=ID_PATTERN)] | None = None
    """`event`, or another kind of the program's settlement rule. Left out: `event`; of a modification: as it is."""
    prices: Annotated[tuple[PriceBody, ...], Meta(max_length=MOST_PRICES)] | None = None
    """By settlement interval, in the program's currency; they may come later. Of a modification they replace all that
    were given before; left out: they stay."""


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded notification, and a hash that is equal for bodies of equal content."""

    event_id: str
    notice: Notice
    kind: str | None
    prices: tuple[EventPrice, ...] | None
    body_hash: str


def decode_notification(
    body: bytes, *, idempotency_key: str | None, modified_event_id: str | None = None
) -> Notification:
    """Raises the problem `malformed-body`, or `invalid-request` with a reason for every wrong field.

    A missing `notification_id` is taken from the header `Idempotency-Key`. A modification names its event in the path
    and requires `modification_number`.
    """
    given = _decode_object(body)
    content = {name: _whole(value) for name, value in given.items()}
    body_hash = hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()
    if idempotency_key is not None:
        given.setdefault("notification_id", idempotency_key)
    reasons = [] if modified_event_id is None else list(_wrong_in_modification(given, modified_event_id))
    values: dict[str, Any] = {}
    reasons += _convert_fields(given, values)
    if reasons:
        named = ", ".join(dict.fromkeys(reason.field or "" for reason in reasons))
        raise Problem("invalid-request", f"missing or wrong: {named}", tuple(reasons[:MOST_REASONS]))
    return _notification(NotificationBody(**values), body_hash)


def _notification(body: NotificationBody, body_hash: str) -> Notification:
    prices = None
    if body.prices is not None:
        prices = tuple(EventPrice(starts_at=one.starts_at, per_kwh=one.per_kwh) for one in body.prices)
    notice = Notice(
        notification_id=body.notification_id,
        modification_number=body.modification_number,
        program_id=body.program,
        starts_at=body.starts_at,
        ends_at=body.ends_at,
        target_kw=body.target_reduction_kw,
        facility_ids=body.facility_ids,
        priority=body.priority,
        callback_url=body.callback_url,
        randomize_start_s=body.randomize_start_s,
    )
    return Notification(
        event_id=body.event_id, notice=notice, kind=body.kind, prices=prices, body_hash=body_hash
    )


def _decode_object(body: bytes) -> dict[str, Any]:
    try:
        given = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Problem("malformed-body", f"the body is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise Problem("malformed-body", "the body is JSON, but not an object")
    if len(given) > MOST_FIELDS:
        raise Problem("malformed-body", f"the body has {len(given)} fields, at most {MOST_FIELDS} are read")
    return given


def _wrong_in_modification(given: dict[str, Any], event_id: str) -> Iterator[ProblemReason]:
    """Adds the event id of the path if the body has none."""
    if given.setdefault("event_id", event_id) != event_id:
        yield ProblemReason(
            code="invalid_field", detail="Expected the event of the address, or none", field="event_id"
        )
    if "modification_number" not in given:
        yield ProblemReason(code="missing_field", detail="is required", field="modification_number")


def _convert_fields(given: dict[str, Any], values: dict[str, Any]) -> Iterator[ProblemReason]:
    """Put valid fields into `values`; yield the reasons of invalid ones."""
    for spec in msgspec.structs.fields(NotificationBody):
        if spec.name not in given:
            if spec.required:
                yield ProblemReason(code="missing_field", detail="is required", field=spec.name)
            continue
        if wrong := list(_wrong_elements(spec.name, given[spec.name])):
            yield from wrong
            continue
        try:
            values[spec.name] = _utc(converted(_whole(given[spec.name]), spec.type))
        except (msgspec.ValidationError, OverflowError) as error:
            detail = str(error)
            if spec.name == "event_id" and "matching regex" in detail:
                detail = "no address can name it: send it without control characters and `/`, and not as `.` or `..`"
            yield ProblemReason(code="invalid_field", detail=detail, field=spec.name)


class _Elements(NamedTuple):
    type: Any
    most: int


_ELEMENTS = {
    "facility_ids": _Elements(FacilityId, MOST_FACILITIES),
    "prices": _Elements(PriceBody, MOST_PRICES),
}


def _wrong_elements(name: str, given: Any) -> Iterator[ProblemReason]:
    """A reason for each wrong element of a list; msgspec would stop at the first one."""
    elements = _ELEMENTS.get(name)
    if elements is None or not isinstance(given, list):
        return
    for index, element in enumerate(given[: elements.most]):
        try:
            _utc(converted(element, elements.type))
        except (msgspec.ValidationError, OverflowError) as error:
            yield ProblemReason(code="invalid_field", detail=str(error), field=f"{name}[{index}]")


def _whole(value: Any) -> Any:
    """JSON has one number type: `2.0` is the integer 2."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _utc(value: Any) -> Any:
    """Times in UTC, limited to the years that all calendars support; other values unchanged."""
    if isinstance(value, PriceBody):
        return replace(value, starts_at=_utc(value.starts_at))
    if isinstance(value, tuple):
        return tuple(map(_utc, value))
    if not isinstance(value, datetime):
        return value
    moment = value.astimezone(UTC)
    if not 2000 <= moment.year < 2200:
        raise OverflowError("Expected a time in the years 2000 to 2199")
    return moment
