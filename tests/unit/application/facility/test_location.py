"""Time zone, weather cell and region of a facility change from a local day on; earlier days keep what was in force."""

from datetime import UTC, date, datetime, timedelta

from msgspec.structs import replace

from application.commands.dr_event import PlanDREvent
from application.commands.facility import RegisterFacility
from application.measurement.agreed_baseline import AgreedBaseline
from application.measurement.basis import basis_of
from domain.dispatch import Dispatch
from domain.errors import FacilityTooLarge
from domain.facility import MOST_LOCATIONS, Coordinates, Facility, FacilityState, Location
from domain.identifiers import dispatch_id, facility_stream_id
from interfaces.bootstrap.weather import places_of_cells
from interfaces.web.api.facility.documents import FacilityDocuments
from interfaces.web.caching.coordinates import StoredCoordinates
from projections.facility import FacilityRow, key_of
from tests.fakes.public_holidays import FakePublicHolidays
from tests.fakes.read_models import FakeReadModels
from tests.given_when_then import Scenario, fact, given
from tests.sample_values import (
    DR_EVENT_ID,
    NOW,
    STARTS_AT,
    facility_entry,
    forecast,
    judge,
    portfolio_commands,
)

HALL = facility_entry()  # in America/New_York
HERE = Location(tz="America/New_York", weather_cell=HALL.weather_cell)
TODAY = date(2026, 7, 14)


def entry(**changes: object) -> RegisterFacility:
    return RegisterFacility(entry=replace(HALL, **changes))


def state_of(story: Scenario) -> FacilityState:
    return story.store.load(Facility, facility_stream_id("fac-001")).state


def row_of(story: Scenario) -> FacilityRow:
    models = FakeReadModels()
    models.fold(story.store.read_after(0, 1_000))
    row = models.facilities.get(key_of("fac-001"))
    assert row is not None
    return row


def test_a_change_holds_from_the_day_on_which_it_is_recorded() -> None:
    story, in_scotland = given().after(entry()), entry(region="GB-SCT")
    story.when(in_scotland).then(
        fact(Facility.LocationAgreed, location=replace(HERE, region="GB-SCT", from_day=TODAY))
    )
    story.when(in_scotland).then()
    state = state_of(story)
    assert (state.region_on(date(2026, 7, 13)), state.region_on(TODAY)) == (None, "GB-SCT")


def test_a_move_holds_from_the_local_midnight_of_its_day() -> None:
    moved = entry(tz="America/Los_Angeles", weather_cell="west", in_force_from=date(2026, 8, 1))
    story = given().after(entry(), moved)
    story.when(moved).then()
    story.when(entry(tz="America/Los_Angeles", weather_cell="west")).then()
    midnight, state = datetime(2026, 8, 1, 7, tzinfo=UTC), state_of(story)
    assert state.tz_at(midnight - timedelta(microseconds=1)) == "America/New_York"
    assert state.tz_at(midnight) == "America/Los_Angeles"
    assert [state.locations.on(date(2026, m, 1)).weather_cell for m in (7, 8)] == [HALL.weather_cell, "west"]


def test_what_was_wrong_from_the_start_is_corrected_from_an_early_day() -> None:
    story = given().after(
        entry(), entry(region="US-NY"), entry(region="US-CA", in_force_from=date(2000, 1, 1))
    )
    state = state_of(story)
    assert [one.from_day for one in state.later_locations] == [date(2000, 1, 1)]
    assert state.region_on(date(2026, 1, 1)) == "US-CA"


def test_a_move_that_has_not_begun_can_be_put_off() -> None:
    def moving(day: int) -> RegisterFacility:
        return entry(weather_cell="west", in_force_from=date(2026, 8, day))

    state = state_of(given().after(entry(), moving(1), moving(15)))
    assert [one.from_day for one in state.later_locations] == [date(2026, 8, 15)]


def test_a_move_that_has_begun_can_be_put_off() -> None:
    moved, put_off = (
        entry(weather_cell="west", in_force_from=day) for day in (TODAY, TODAY + timedelta(days=6))
    )
    story = given().after(entry(), moved).at(NOW + timedelta(days=2)).after(put_off)
    story.when(put_off).then()
    locations = state_of(story).locations
    assert [one.from_day for one in locations.later] == [TODAY + timedelta(days=6)]
    assert [locations.on(TODAY + timedelta(days=n)).weather_cell for n in (5, 6)] == [
        HALL.weather_cell,
        "west",
    ]


def test_a_return_after_another_move_is_no_put_off() -> None:
    days = [TODAY + timedelta(days=n) for n in range(3)]
    story = given().after(entry())
    for n, cell in enumerate(("west", "east", "west")):
        story.at(NOW + timedelta(days=n)).after(entry(weather_cell=cell))
    assert [one.from_day for one in state_of(story).later_locations] == days


def test_the_number_of_changes_is_bounded() -> None:
    story = given().after(entry())
    for number in range(MOST_LOCATIONS):
        story.at(NOW + timedelta(days=number)).after(entry(weather_cell=f"cell-{number}"))
    story.at(NOW + timedelta(days=MOST_LOCATIONS)).when(entry(weather_cell="one-more")).refused(
        FacilityTooLarge, saying="register another facility"
    )
    corrected = entry(weather_cell="corrected", in_force_from=state_of(story).locations.agreed_last.from_day)
    story.when(corrected).then(fact(Facility.LocationAgreed))
    assert len(state_of(story).later_locations) == MOST_LOCATIONS


def test_a_measurement_uses_the_time_zone_that_was_in_force_at_the_start() -> None:
    story = given().with_forecasts(forecast("fac-001", 400.0)).after(*portfolio_commands(HALL))
    story.after(judge(facility_ids=("fac-001",), target_kw=50.0), PlanDREvent(dr_event_id=DR_EVENT_ID))
    dispatch = story.store.load(Dispatch, dispatch_id(DR_EVENT_ID, "fac-001")).state
    story.at(STARTS_AT + timedelta(days=1)).after(entry(tz="Asia/Tokyo"))
    state = state_of(story)
    assert (
        str(basis_of(state, AgreedBaseline(method="x-of-y"), dispatch, FakePublicHolidays()).tz)
        == "America/New_York"
    )
    later = replace(dispatch, starts_at=dispatch.starts_at + timedelta(days=3))
    assert (
        str(basis_of(state, AgreedBaseline(method="x-of-y"), later, FakePublicHolidays()).tz) == "Asia/Tokyo"
    )


def test_a_read_model_shows_what_is_in_force_and_the_history() -> None:
    row = row_of(
        given().after(entry(), entry(tz="Asia/Tokyo", weather_cell="east", in_force_from=date(2026, 8, 1)))
    )
    before, after = (
        FacilityDocuments.of_now(StoredCoordinates({}), datetime(2026, month, 14, 12, 7, tzinfo=UTC))(row)
        for month in (7, 8)
    )
    assert (before.tz, after.tz, after.weather_cell) == ("America/New_York", "Asia/Tokyo", "east")
    assert [one.tz for one in after.location_history] == ["America/New_York", "Asia/Tokyo"]
    there = {"fac-001": Coordinates(40.7, -74.0)}
    assert set(places_of_cells([row], there, at=NOW)) == {HALL.weather_cell}
    assert set(places_of_cells([row], there, at=NOW + timedelta(days=30))) == {"east"}
