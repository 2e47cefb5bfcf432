"""Problem documents (RFC 9457): every error of this API, in one table.

`type` is `/problems/<name>` and stable; that address has a page about the problem. Every reason is listed, of an
infeasible DR event the first ones and their number by code.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "/problems/"
WRONG_FIELDS = "a field, a parameter or the body is missing or wrong"
"""In the scope: the JSON body, for a refusal that names each of its wrong fields."""
STORE_RETRY_AFTER_S = 5.0
"""`Retry-After` while a store cannot be reached, in seconds."""


class ProblemType(NamedTuple):
    """Status, title and advice of a kind of problem."""

    status: int
    title: str
    what_to_do: str


PROBLEM_TYPES: dict[str, ProblemType] = {
    "malformed-body": ProblemType(400, "The body is not a JSON object", "Send one JSON object in UTF-8."),
    "invalid-request": ProblemType(400, "Some fields are missing or wrong", "Correct every field named."),
    "malformed-request": ProblemType(
        400,
        "What came is no HTTP request that is taken",
        "Keep address and headers short, with one Host, Authorization, X-Signature and Idempotency-Key at most.",
    ),
    "unauthenticated": ProblemType(
        401, "No valid API key was given", "Send `Authorization: Bearer <api key>` with a key not revoked."
    ),
    "bad-signature": ProblemType(
        401,
        "The signature is missing or wrong",
        "Sign method, path, idempotency key and body with HMAC-SHA256: `X-Signature: t=<unix>,v2=<hex>`.",
    ),
    "stale-signature": ProblemType(
        401, "The signature's time is too far from now", "Sign again with the present time; check your clock."
    ),
    "forbidden": ProblemType(403, "This key may not do that", "Use a key of a role that may."),
    "not-found": ProblemType(404, "There is no such thing here", "Check the address and the id."),
    "not-settled-yet": ProblemType(
        404, "The DR event is not settled", "Wait for what the detail names, or do what it says."
    ),
    "method-not-allowed": ProblemType(405, "That method does nothing here", "See the API at /schema."),
    "head-too-slow": ProblemType(408, "The head did not arrive in time", "Send address and headers at once."),
    "body-too-slow": ProblemType(408, "The body did not arrive in time", "Send the body at once."),
    "idempotency-mismatch": ProblemType(
        409, "That key was used with another body", "Use a new key for a new request."
    ),
    "not-allowed-now": ProblemType(409, "The present state does not allow that", "See the state named."),
    "settlement-final": ProblemType(
        409,
        "The settlement is final",
        "Nothing is settled again after the deadline of the rule; agree on a correction outside.",
    ),
    "body-too-large": ProblemType(413, "The body is too large", "Send fewer facilities at once."),
    "unsupported-media-type": ProblemType(
        415, "The body is not declared as JSON", "Send `Content-Type: application/json`."
    ),
    "past-too-large": ProblemType(
        422, "That list of the past is too long", "Ask for one by its id, with the same `as_of`."
    ),
    "infeasible": ProblemType(422, "The DR event cannot be done as asked", "Ask for what the reasons allow."),
    "callback-refused": ProblemType(
        422, "The callback address is refused", "Give a public http(s) address without a user name."
    ),
    "what-if-refused": ProblemType(
        422, "There are no amounts to compare", "Do what the detail says, or ask for something else."
    ),
    "refused": ProblemType(422, "The command was refused", "Ask for what the reasons allow."),
    "rate-exceeded": ProblemType(429, "Too many requests with this key", "Wait as `Retry-After` says."),
    "quota-exceeded": ProblemType(
        429,
        "This utility has used up its quota of the day",
        "Wait as `Retry-After` says, or ask the operator to raise the quota.",
    ),
    "internal-error": ProblemType(
        500, "Something went wrong on our side", "Try again; if it stays, report the trace id."
    ),
    "not-built-yet": ProblemType(501, "This is not there yet", "See the API at /schema."),
    "queue-full": ProblemType(
        503, "Too many DR events wait to be planned", "Post the same request again as `Retry-After` says."
    ),
    "too-many-connections": ProblemType(
        503,
        "Every connection is in use",
        "Connect again as `Retry-After` says; send several requests on one connection.",
    ),
    "past-not-folded": ProblemType(
        503,
        "That past is still being folded",
        "Ask the same again as `Retry-After` says: it goes on from there.",
    ),
    "secret-unavailable": ProblemType(
        503,
        "Signatures cannot be checked: the operator has to set the secret",
        "Post the same request again as `Retry-After` says; tell the operator if it stays.",
    ),
    "unavailable": ProblemType(
        503, "A store cannot be reached", "Post the same request again as `Retry-After` says."
    ),
}


class ProblemReason(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A reason; `code` is stable. `field` names a wrong field, `facility_id` the facility it is about."""

    code: str
    detail: str
    field: str | None = None
    facility_id: str | None = None


class ProblemDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of every error (RFC 9457), with all its reasons and the trace id to report it by."""

    type: str
    title: str
    status: int
    detail: str
    reasons: tuple[ProblemReason, ...]
    trace_id: str
    dr_event_id: str | None = None
    reason_counts: dict[str, int] | None = None
    """Code -> how many reasons have it, where there are more than `reasons` lists."""


@dataclass
class Problem(Exception):
    """Ends a request with the problem `name` of PROBLEM_TYPES."""

    name: str
    detail: str
    reasons: tuple[ProblemReason, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    dr_event_id: str | None = None
    reason_counts: dict[str, int] | None = None

    def __post_init__(self) -> None:
        super().__init__(f"{self.name}: {self.detail}")
        if not self.reasons:
            self.reasons = (ProblemReason(code=self.name.replace("-", "_"), detail=self.detail),)

    @property
    def status(self) -> int:
        return PROBLEM_TYPES[self.name].status

    def document(self, trace_id: str) -> ProblemDocument:
        return ProblemDocument(
            type=TYPE_PREFIX + self.name,
            title=PROBLEM_TYPES[self.name].title,
            status=self.status,
            detail=self.detail,
            reasons=self.reasons,
            trace_id=trace_id,
            dr_event_id=self.dr_event_id,
            reason_counts=self.reason_counts,
        )


def try_again(name: str, detail: str, *, retry_after_s: float = 1.0) -> Problem:
    """A 429 or 503 with `Retry-After` (whole seconds, at least one)."""
    whole_s = max(1, -int(-retry_after_s // 1))
    return Problem(name, detail, headers={"Retry-After": str(whole_s)})
