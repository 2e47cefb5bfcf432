"""How much longer DR events take beside what is slow or plentiful, against an undisturbed run of the same sitting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from application.ports.dispatch.open_work import QueueDepth
from tests.bench.dispatch.dispatch_setup import judge_rejected
from tests.bench.dispatch.phases import COMMITTED, DELIVERED, REQUESTED, Phase, System, facilities, system
from tests.bench.dispatch.setup import stores_at
from tests.bench.dispatch.utilities import answering_utility, silent_utility
from tests.bench.environment import BenchEnvironment
from tests.bench.figures import Figure, figure

if TYPE_CHECKING:
    from interfaces.bootstrap.stores import Stores

CALLBACKS = 10_000
SILENT = "silent"
POLLED_FOR_EACH = 4
"""Buildings that are polled, for each that is committed: 2,000 beside 500."""
AIM = "at most 1.2 times the time undisturbed"


def fairness(env: BenchEnvironment, undisturbed_s: float) -> Iterator[Figure]:
    """`undisturbed_s`: the commit phase of decide and dispatch workers alone."""
    yield _beside("commit phase beside a building that hangs", _beside_hanging_building(env), undisturbed_s)
    yield from _beside_silent_utility(env)
    yield _beside_polls(env, undisturbed_s)


def _beside(what: str, took_s: float, floor_s: float, **details: float | str) -> Figure:
    return figure(
        f"dispatch, {what}",
        unit="s",
        ours=took_s,
        floor=floor_s,
        lower_is_better=True,
        details={
            "floor": "the same undisturbed",
            "times_undisturbed": round(took_s / floor_s, 3),
            "aim": AIM,
            **details,
        },
    )


def _beside_hanging_building(env: BenchEnvironment) -> float:
    """The commit phase of the others; the building is prepared as they are, and does not answer its commit."""
    env.report("dispatch: beside a building that hangs")
    with system(env, facilities(env) + 1, hanging=1) as running:
        return running.start(running.prepare(running.entries), hanging=1).took_s[COMMITTED]


def _beside_silent_utility(env: BenchEnvironment) -> Iterator[Figure]:
    """The commit phase, and the time until another utility has all callbacks about the starts. A third run, after as
    many callbacks that were answered, shows how much of it the longer log costs."""
    env.report(
        "dispatch: with callbacks, then beside a utility that never answers, then after as many answers"
    )
    undisturbed, _ = _with_callbacks(env, silent=0)
    count = env.sized(CALLBACKS, least=10)
    beside, queue = _with_callbacks(env, silent=count)
    answered, _ = _with_callbacks(env, answered=count)
    details = {"callbacks_open": queue.rows, "most_tries": queue.most_tries} if queue else {}
    for topic, what in ((COMMITTED, "commit phase"), (DELIVERED, "callbacks of others")):
        yield _beside(
            f"{what} beside a utility that never answers",
            beside.took_s[topic],
            undisturbed.took_s[topic],
            after_as_many_answers_s=round(answered.took_s[topic], 3),
            **details,
        )


def _with_callbacks(
    env: BenchEnvironment, *, silent: int = 0, answered: int = 0
) -> tuple[Phase, QueueDepth | None]:
    """The commit phase after so many callbacks of a second utility, and what is open for it when the phase begins."""
    with (
        answering_utility() as answering_url,
        silent_utility() as silent_url,
        system(env, facilities(env), others=("watch",)) as running,
    ):
        dr_events = running.prepare(running.entries, answering_url)
        _reject(running, silent_url, silent)
        _reject(running, answering_url, answered)
        found: list[QueueDepth] = []

        def note(stores: Stores) -> None:
            found.extend(one for one in stores.open_work().depths("callback") if one.queue == SILENT)

        phase = running.start(dr_events, awaited={DELIVERED: len(dr_events.ids)}, beside=note)
        return phase, next(iter(found), None)


def _reject(running: System, url: str, count: int) -> None:
    """Request so many callbacks of the second utility. If it answers, none is open afterwards."""
    wanted = running.recorded.number_of(REQUESTED) + count
    judge_rejected(running.settings, SILENT, url, count, running.now)
    running.until(lambda: running.recorded.number_of(REQUESTED) >= wanted)
    running.until_quiet()


def _beside_polls(env: BenchEnvironment, undisturbed_s: float) -> Figure:
    """The commit phase while buildings of DR events that run already are polled: all polls are due at the start. As
    many of these buildings, commanded before in the same system, show how much of it the larger system costs."""
    count = facilities(env)
    env.report(f"dispatch: beside {count * POLLED_FOR_EACH} polls")
    with system(env, count * (1 + POLLED_FOR_EACH)) as running:
        starting, first, *others = (
            running.entries[n :: 1 + POLLED_FOR_EACH] for n in range(1 + POLLED_FOR_EACH)
        )
        running.start(running.prepare([entry for some in others for entry in some]))
        running.until_quiet()
        without_polls_s = running.start(running.prepare(first)).took_s[COMMITTED]
        running.until_quiet()
        _project_dispatches(running)
        dr_events = running.prepare(starting)
        polled_ids = [entry.facility_id for some in (first, *others) for entry in some]
        phase = running.start(dr_events, beside=lambda stores: stores.open_work().add_checks(polled_ids))
        return _beside(
            "commit phase beside polls",
            phase.took_s[COMMITTED],
            undisturbed_s,
            without_polls_in_this_system_s=round(without_polls_s, 3),
            polls=len(polled_ids),
        )


def _project_dispatches(running: System) -> None:
    """A poll looks up in the read model which DR events curtail its building."""
    from adapters.postgres.read_model.projector import Projector
    from projections.registry import projection_named

    with closing(stores_at(running.settings, running.now)) as stores:
        dispatches = projection_named("dispatches")
        Projector(dispatches, dsn=stores.database_url, alerts=stores.alerts(), clock=stores.clock).catch_up()
