"""Handlers of the forecasts' own application."""

from typing import Literal

from application.command_bus import Handler
from application.commands.forecast import Issue, IssueForecast
from application.deciding import Deciding, Decision
from application.ports.event_store import StreamNotFound
from domain.forecast import Forecast
from domain.identifiers import forecast_stream_id


def issue_forecast(command: IssueForecast, deciding: Deciding) -> Decision:
    """The first forecast of a cycle is issued; a later one replaces it where its inputs are better."""
    stream_id = forecast_stream_id(command.facility_id, command.cycle_start)
    try:
        forecast = deciding.store.load(Forecast, stream_id)
    except StreamNotFound:
        forecast = Forecast.issue(
            deciding.provenance,
            facility_id=command.facility_id,
            cycle_start=command.cycle_start,
            inputs=command.inputs,
            model=command.model,
            steps=command.steps,
        )
        return _decided(forecast, "issued")
    forecast.reissue(deciding.provenance, inputs=command.inputs, model=command.model, steps=command.steps)
    return _decided(forecast, "reissued" if forecast.pending_events else "unchanged")


def _decided(forecast: Forecast, outcome: Literal["issued", "reissued", "unchanged"]) -> Decision:
    state = forecast.state
    reply = Issue(forecast_id=state.forecast_id, outcome=outcome, data_quality=state.data_quality)
    return Decision(forecast, reply=reply)


FORECAST_HANDLERS: dict[type, Handler] = {IssueForecast: issue_forecast}
"""Every command of the forecasts' application and its handler."""
