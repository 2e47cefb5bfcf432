"""Check of the utilities' signatures: who signs nothing, and who may still sign with v1."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from application.facility.portfolio_entries import NO_DATE_YET, UtilityEntry
from interfaces.bootstrap.doctor.result import CheckResult

MOST_NAMED = 20
ADVICE = "agree on a webhook_secret_ref, and set webhook_v1_until in the portfolio: docs/guides/operator.md, Utilities"


def check_signatures(utilities: Sequence[UtilityEntry], now: datetime) -> CheckResult:
    """A warning while a utility does not sign its calls, or may sign with v1 for ever."""
    signing = [one for one in utilities if one.webhook_secret_ref is not None]
    groups = {
        "without a signature": [one for one in utilities if one.webhook_secret_ref is None],
        "v1 without a date": [one for one in signing if one.webhook_v1_until == NO_DATE_YET],
        "v1 until their date": [
            one
            for one in signing
            if one.webhook_v1_until is not None and now < one.webhook_v1_until < NO_DATE_YET
        ],
    }
    detail = "; ".join(_described(groups)) or f"all of {len(utilities)} utilities sign with v2"
    facts = {title: [one.utility_id for one in group] for title, group in groups.items() if group}
    if groups["without a signature"] or groups["v1 without a date"]:
        return CheckResult(check="signatures", state="warning", detail=detail, advice=ADVICE, facts=facts)
    return CheckResult(check="signatures", state="ok", detail=detail, facts=facts)


def _described(groups: dict[str, list[UtilityEntry]]) -> Iterator[str]:
    for title, group in groups.items():
        if group:
            named = ", ".join(one.utility_id for one in group[:MOST_NAMED])
            yield f"{title}: {named}{' ...' if len(group) > MOST_NAMED else ''}"
