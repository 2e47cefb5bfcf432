"""Inputs that the commands of `gridproof baseline` share: readings, calendar, and the rule of a method."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from domain.baseline import BaselineParameters, BaselineRule, InvalidBaselineRule, rule_named
from domain.event_sourcing.decoders import converted
from interfaces.cli.console.parameter_types import day, time_zone

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

CALENDAR_OPTIONS: tuple[Decorator, ...] = (
    click.option(
        "--tz",
        metavar="ZONE",
        type=time_zone,
        help="IANA time zone where facilities.csv gives none. [default: UTC]",
    ),
    click.option(
        "--event-day",
        "dr_event_days",
        multiple=True,
        metavar="DAY",
        type=day,
        help="A local day with a DR event.",
    ),
    click.option("--holiday", "holidays", multiple=True, metavar="DAY", type=day, help="A local holiday."),
)
METHOD_OPTIONS: tuple[Decorator, ...] = (
    click.option("--x", type=int, default=5, show_default=True, help="x-of-y: days that count."),
    click.option("--y", type=int, default=10, show_default=True, help="x-of-y: days looked at."),
    click.option(
        "--pick",
        type=click.Choice(["high", "mid", "low"]),
        default="high",
        show_default=True,
        help="x-of-y: which.",
    ),
    click.option(
        "--adjustment",
        type=click.Choice(["none", "multiplicative", "additive"]),
        default="multiplicative",
        show_default=True,
        help="x-of-y: the in-day adjustment.",
    ),
    click.option(
        "--cap", type=float, default=0.2, show_default=True, help="x-of-y: bound of the adjustment, 0..1."
    ),
    click.option("--no-cap", is_flag=True, help="x-of-y: no bound."),
    click.option(
        "--adjustment-from-s",
        type=int,
        default=4 * 3600,
        show_default=True,
        help="x-of-y: seconds before the start at which the hours of the adjustment begin.",
    ),
    click.option(
        "--adjustment-until-s",
        type=int,
        default=3600,
        show_default=True,
        help="x-of-y: seconds before the start at which they end.",
    ),
    click.option("--upward-only", is_flag=True, help="x-of-y: never adjust downwards."),
    click.option(
        "--before-s", type=int, default=3600, show_default=True, help="meter-before: seconds before."
    ),
    click.option("--level-kw", type=float, help="firm-service-level: the contracted level."),
    click.option(
        "--lookback-days",
        type=int,
        default=70,
        show_default=True,
        help="regression: days of load and temp_c before the DR event's day that it is fitted to, 28..400.",
    ),
)


def calendar_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`tz`, `dr_event_days` and `holidays`."""
    return _with(CALENDAR_OPTIONS, command)


def method_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The parameters of methods that the contract leaves open, for `rule_of`."""
    return _with(METHOD_OPTIONS, command)


def parameters_of(options: Mapping[str, object]) -> BaselineParameters:
    """The values of METHOD_OPTIONS."""
    parameters = {name: value for name, value in options.items() if name != "no_cap"}
    if options["no_cap"]:
        parameters["cap"] = None
    return converted(parameters, BaselineParameters)


def rule_of(method: str, options: Mapping[str, object]) -> BaselineRule:
    """The rule of `method` with the values of METHOD_OPTIONS. Raises click.UsageError."""
    try:
        return rule_named(method, parameters_of(options))
    except InvalidBaselineRule as error:
        raise click.UsageError(str(error)) from error


def _with(options: tuple[Decorator, ...], command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command
