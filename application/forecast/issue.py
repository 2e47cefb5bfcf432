"""Issuing the forecasts of a cycle in batches: one round trip to load the recorded ones, one save for all.

Each forecast is decided separately, from its command IssueForecast, so refusals are exact. If two schedulers
issue the same cycle, one is first, and the other gets the recorded forecasts.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID, uuid5

from application.command_bus.decision_context import CommandContext
from application.commands.forecast import Issue, IssueForecast, Outcomes
from application.ports.clock import Clock
from application.ports.event_store.event_store import EventStore, SaveBounds, SaveTooLarge, VersionConflict
from domain.errors import DomainError
from domain.event_sourcing.aggregate import Provenance
from domain.forecast import Forecast, is_better, quality_of
from domain.identifiers import NAMESPACE, forecast_stream_id

MAX_BATCH_SIZE = 100
OF_A_CYCLE = SaveBounds(MAX_BATCH_SIZE, 512 * 1024)
"""Forecasts of different facilities share a save for speed only. Each takes 1 to 2.6 kB, more for larger and
less even loads."""
MAX_ATTEMPTS = 12

RecordedForecasts = Mapping[UUID, Forecast]
"""Stream id -> the recorded forecast of a facility and cycle."""


class TooManyRaces(RuntimeError):
    """A batch lost every race against other saves. None of it was saved. The next cycle tries again."""


Outcome = Issue | DomainError | TooManyRaces


class ForecastIssuing:
    """Issues forecasts in batches."""

    def __init__(self, store: EventStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def recorded(self, stream_ids: Sequence[UUID]) -> RecordedForecasts:
        """The recorded forecasts of these streams. Raises EventStoreUnavailable."""
        return self._store.load_many(Forecast, stream_ids)

    def issue(
        self, commands: Sequence[tuple[IssueForecast, CommandContext]], recorded: RecordedForecasts
    ) -> list[Outcome]:
        """Issue the forecasts. Returns the outcome of each; `recorded` is the recorded state, and is loaded
        again after a lost race.

        At most MAX_BATCH_SIZE share a save; those that lost every race have TooManyRaces as their outcome.
        Raises EventStoreUnavailable, or SaveTooLarge for a single forecast; earlier batches stay.
        """
        found: list[Outcome] = []
        for start in range(0, len(commands), MAX_BATCH_SIZE):
            found += self._issue_batch(commands[start : start + MAX_BATCH_SIZE], recorded)
        return found

    def _issue_batch(
        self, commands: Sequence[tuple[IssueForecast, CommandContext]], recorded: RecordedForecasts
    ) -> Sequence[Outcome]:
        streams = [forecast_stream_id(one.facility_id, one.cycle_start) for one, _ in commands]
        for _ in range(MAX_ATTEMPTS):
            outcomes: list[Outcome] = []
            forecasts: list[Forecast] = []
            for (command, context), stream_id in zip(commands, streams, strict=True):
                try:
                    forecast, issue = decided(command, recorded.get(stream_id), self._provenance(context))
                except DomainError as error:
                    outcomes.append(error)
                else:
                    forecasts.append(forecast)
                    outcomes.append(issue)
            try:
                self._store.save(forecasts, bounds=OF_A_CYCLE)
            except VersionConflict:
                recorded = self.recorded(streams)
                continue
            except SaveTooLarge:
                if len(commands) == 1:
                    raise
                return self._in_halves(commands, self.recorded(streams))
            return outcomes
        lost = TooManyRaces(
            f"{len(commands)} forecasts lost {MAX_ATTEMPTS} races, the next cycle tries again; "
            "is another scheduler running?"
        )
        return [lost] * len(commands)

    def _in_halves(
        self, commands: Sequence[tuple[IssueForecast, CommandContext]], recorded: RecordedForecasts
    ) -> list[Outcome]:
        """Issue both halves. `recorded` must be loaded again before: a failed save empties the aggregates."""
        half = len(commands) // 2
        first = self._issue_batch(commands[:half], recorded)
        return [*first, *self._issue_batch(commands[half:], recorded)]

    def _provenance(self, context: CommandContext) -> Provenance:
        return Provenance(
            correlation_id=context.correlation_id,
            causation_id=context.causation_id,
            actor=context.actor,
            tenant=context.tenant,
            trace_id=context.trace_id,
            recorded_at=self._clock.now(),
        )


def decided(command: IssueForecast, known: Forecast | None, provenance: Provenance) -> tuple[Forecast, Issue]:
    """The forecast in force after `command`, with its pending events; `known` was in force before.

    A better recorded forecast is kept. That is no conflict: a conflict is a different forecast of the same
    quality. Raises ForecastConflict or InvalidForecast.
    """
    if known is None:
        forecast = Forecast.issue(
            provenance,
            facility_id=command.facility_id,
            cycle_start=command.cycle_start,
            inputs=command.inputs,
            model=command.model,
            steps=command.steps,
        )
        return forecast, _issue(forecast, "issued")
    if is_better(known.state.data_quality, than=quality_of(command.inputs, command.cycle_start)):
        return known, _issue(known, "kept")
    known.reissue(provenance, inputs=command.inputs, model=command.model, steps=command.steps)
    return known, _issue(known, "reissued" if known.pending_events else "unchanged")


def is_no_better(command: IssueForecast, known: Forecast) -> bool:
    """True if `command` has other inputs than the recorded forecast, and no better quality."""
    if command.inputs.input_hash == known.state.inputs.input_hash:
        return False
    return not known.is_improved_by(command.inputs)


def _issue(forecast: Forecast, outcome: Outcomes) -> Issue:
    state = forecast.state
    return Issue(forecast_id=state.forecast_id, outcome=outcome, data_quality=state.data_quality)


def cycle_context(command: IssueForecast, actor: str) -> CommandContext:
    """The context of a cycle's commands. Its ids are derived from the cycle's start, so a repeat has the same
    ids."""
    correlation = uuid5(NAMESPACE, f"forecast-cycle:{command.cycle_start.isoformat()}")
    return CommandContext(
        correlation_id=correlation,
        causation_id=uuid5(correlation, command.facility_id),
        actor=actor,
        tenant=None,
        trace_id=correlation.hex,
    )
