"""The program's forecast guardrail: at the door, at the planning, at each judgement of a blocked dispatch and at the
preparation."""

from collections.abc import Mapping

from application.command_bus.decision_context import DecisionContext
from domain.forecast import blocks
from domain.program import Terms


def blocked_by_forecast(
    qualities: Mapping[str, str], terms: Terms, context: DecisionContext
) -> frozenset[str]:
    """The facilities whose forecasts, of these qualities as of now, block their dispatches under the guardrail.

    Under `accept_no_weather` it is looked up, for all of them together, which were measured to be as accurate without
    weather.
    """
    guardrail, accurate = terms.forecast_guardrail, frozenset[str]()
    without_weather = [one for one, quality in qualities.items() if quality == "degraded_no_weather"]
    if guardrail == "accept_no_weather" and without_weather:
        accurate = context.accurate_without_weather(without_weather)
    return frozenset(
        one
        for one, quality in qualities.items()
        if blocks(quality, guardrail, as_accurate_without_weather=one in accurate)
    )
