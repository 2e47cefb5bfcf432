"""Check of the utilities' signatures: who signs nothing."""

from collections.abc import Sequence

from application.facility.portfolio_entries import UtilityEntry
from interfaces.bootstrap.doctor.result import CheckResult

MOST_NAMED = 20
ADVICE = "agree on a webhook_secret_ref: docs/guides/portfolio.md, utility"


def check_signatures(utilities: Sequence[UtilityEntry]) -> CheckResult:
    """A warning while a utility does not sign its calls."""
    unsigned = [one.utility_id for one in utilities if one.webhook_secret_ref is None]
    if not unsigned:
        return CheckResult(check="signatures", state="ok", detail=f"all of {len(utilities)} utilities sign")
    named = ", ".join(unsigned[:MOST_NAMED])
    return CheckResult(
        check="signatures",
        state="warning",
        detail=f"without a signature: {named}{' ...' if len(unsigned) > MOST_NAMED else ''}",
        advice=ADVICE,
        facts={"without a signature": unsigned},
    )
