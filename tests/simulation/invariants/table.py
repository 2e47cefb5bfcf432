"""The invariants: pure functions over the evidence that yield what broke."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

import msgspec

from tests.simulation.evidence import Evidence, Finding
from tests.simulation.invariants import buildings, callbacks, clocks, limits, log, open_work, parking, tenants

Invariant = Callable[[Evidence], Iterator[Finding]]

INVARIANTS: dict[str, Invariant] = {
    "no command id is executed twice": buildings.executed_once,
    "an intent and an attempt are recorded before each call": buildings.recorded_before_called,
    "nothing is begun after a cancellation": buildings.nothing_begun_after_cancellation,
    "no building is left curtailed after the end plus grace": buildings.nothing_left_curtailed,
    "every setpoint is back": buildings.setpoints_are_back,
    "nothing is sent after its time": buildings.nothing_sent_too_late,
    "one call at a time per BMS": buildings.one_call_at_a_time,
    "a BMS that timed out five times in a row is not called for a minute": buildings.breaker_pauses_calls,
    "commands of a building keep the order of the log": open_work.commands_keep_order,
    "no command waits for a check": open_work.no_command_starves,
    "what the log records as done was done": buildings.log_matches_buildings,
    "no agreed limit is exceeded": limits.within_limits,
    "a facility serves one DR event at a time": limits.one_dr_event_at_a_time,
    "only what curtailed a building counts against its limits": limits.only_curtailments_count,
    "a preempted facility can be released by the start of the DR event with priority": limits.preempted_in_time,
    "no building is commanded for another DR event before it is restored": limits.no_commands_until_restored,
    "every facility ends in a final state": log.every_facility_is_final,
    "delivered, failed and opted out are the requested facilities": log.batch_adds_up,
    "what follows from a domain event follows once": log.follows_once,
    "a dispatch is unblocked by a good forecast only": log.unblocked_by_a_good_forecast,
    "the log replays to the same state": log.log_replays,
    "read models replay to the same rows": log.read_models_replay,
    "the utility's last callback equals the log": callbacks.callbacks_match_log,
    "no callback is sent by two workers at once": open_work.callbacks_sent_by_one,
    "no callback waits for another that fails": open_work.no_callback_starves,
    "nothing is dated more than 5 s ahead of the database's clock": clocks.nothing_dated_ahead,
    "a process whose clock is wrong decides nothing": clocks.wrong_clocks_decide_nothing,
    "what fails for good is parked with an alert": parking.defects_are_parked,
    "the relay moves on, whatever fails": parking.relay_moves_on,
    "no utility waits for another that floods the system": tenants.none_waits_for_another,
    "no utility learns of another": tenants.none_learns_of_another,
    "the system becomes idle": log.becomes_idle,
    "no worker ends with an unexpected error": log.no_unexpected_errors,
}


class Breach(msgspec.Struct, frozen=True):
    """An invariant that did not hold."""

    invariant: str
    what: str
    at: datetime | None = None
    """Clock time, if the invariant knows it."""


def breaches(evidence: Evidence) -> list[Breach]:
    """Everything that broke, in the order of the table."""
    return [Breach(name, *found) for name, check in INVARIANTS.items() for found in check(evidence)]
