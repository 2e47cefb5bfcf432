"""Output of a comparison of baseline methods: tables for people, a JSON document for programs."""

from collections.abc import Mapping

import click
import msgspec

from application.measurement.method_comparison import FacilityComparison
from domain.baseline.comparison.days import LocalWindow
from domain.baseline.comparison.scores import MOST_BIAS, MethodOverall, overall, recommended
from interfaces.cli.console.printing import print_table, printable


class ComparisonDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `baseline compare --json`; errors are ratios to the mean metered load."""

    window: str
    facilities: dict[str, FacilityComparison]
    overall: dict[str, MethodOverall]
    recommended: str | None
    left_out: dict[str, str]
    """Facilities without a compared day, with the reason."""


def comparison_document(
    compared: Mapping[str, FacilityComparison], left_out: Mapping[str, str], *, window: LocalWindow
) -> ComparisonDocument:
    methods = next(iter(compared.values())).methods
    by_method = {
        method: overall(facility.methods[method] for facility in compared.values()) for method in methods
    }
    return ComparisonDocument(
        window=str(window),
        facilities=dict(compared),
        overall=by_method,
        recommended=recommended(by_method),
        left_out=dict(left_out),
    )


def print_comparison(document: ComparisonDocument) -> None:
    """A table of the methods, one of the facilities, and the recommendation."""
    click.echo(
        f"baseline minus metered load, {document.window} local, as shares of the mean metered load;\n"
        f"{len(document.facilities)} facilities: median of the bias, geometric mean of the CVRMSE (and its median)"
    )
    print_table(
        ("method", "days", "refused", "bias", "CVRMSE (median)", "hot days", "bias", "CVRMSE"),
        [
            (
                method,
                one.days,
                one.refused,
                share(one.bias_median, signed=True),
                f"{share(one.cvrmse_geomean)} ({share(one.cvrmse_median)})",
                one.hot.days,
                share(one.hot.bias_median, signed=True),
                share(one.hot.cvrmse_geomean),
            )
            for method, one in document.overall.items()
        ],
    )
    click.echo("CVRMSE (bias) of each facility:")
    print_table(
        ("facility", "days", *(method.replace("-", " ") for method in document.overall)),
        [
            (
                printable(facility_id),
                facility.days,
                *(
                    f"{share(one.cvrmse)} ({share(one.bias, signed=True)})"
                    for one in facility.methods.values()
                ),
            )
            for facility_id, facility in document.facilities.items()
        ],
    )
    click.echo(_recommendation(document))
    for facility_id, why in document.left_out.items():
        click.echo(f"{printable(facility_id)}: left out, {why}", err=True)


def _recommendation(document: ComparisonDocument) -> str:
    if document.recommended is None:
        return f"recommended: none; no method has a median bias within {MOST_BIAS:.1%}"
    one = document.overall[document.recommended]
    total = len(document.facilities)
    partly = "" if one.facilities == total else f", on {one.facilities} of {total} facilities"
    return (
        f"recommended: {document.recommended} (least CVRMSE, {share(one.cvrmse_geomean)}, of the methods with a median "
        f"bias within {MOST_BIAS:.1%}{partly})"
    )


def share(value: float | None, *, signed: bool = False) -> str:
    """`7.1%`, signed `+0.4%`; a dash for none."""
    if value is None:
        return "-"
    rounded = round(value, 3) or 0.0  # without the sign of -0.0
    return f"{rounded:+.1%}" if signed and rounded else f"{rounded:.1%}"
