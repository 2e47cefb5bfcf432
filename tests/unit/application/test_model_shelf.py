"""Who is trained when: new facilities at once, the others once a day, spread over it."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec

from application.model_shelf import NEW_AT_ONCE, ModelShelf
from application.ports.load_forecaster import TrainedModel
from tests.fakes.forecast_models import FakeForecastModels

START = datetime(2026, 7, 14, tzinfo=UTC)
CYCLE = timedelta(minutes=15)


def model(at: datetime, *, uses_weather: bool = True) -> TrainedModel:
    return TrainedModel(name="made up", version="1", trained_at=at, uses_weather=uses_weather, parameters=b"")


def test_who_has_no_model_is_trained_at_once_and_then_once_a_day() -> None:
    shelf, ids = ModelShelf(), ["a", "b", "c"]
    assert shelf.new(ids) == ids
    assert shelf.due(ids, START) == []
    for one in ids:
        shelf.put({one: model(START)})
    assert shelf.due(ids, START + timedelta(hours=23)) == []
    assert shelf.due(ids, START + timedelta(hours=24)) == ids


def test_a_model_without_weather_is_tried_again_sooner() -> None:
    shelf = ModelShelf()
    shelf.put({"a": model(START, uses_weather=False)})
    assert shelf.due(["a"], START + timedelta(hours=5)) == []
    assert shelf.due(["a"], START + timedelta(hours=6)) == ["a"]


def test_thousands_that_were_trained_at_one_start_are_spread_over_the_days_after_it() -> None:
    shelf, ids = ModelShelf(), [f"fac-{number:04}" for number in range(2_000)]
    trained: Counter[int] = Counter()
    latest: dict[str, datetime] = {}
    for cycle in range(3 * 96):
        at = START + CYCLE * cycle
        due = shelf.new(ids) + shelf.due(ids, at)
        trained[cycle] = len(due)
        for one in due:
            shelf.put({one: model(at)})
            latest[one] = at
    assert trained[0] == NEW_AT_ONCE
    # A day's share and a half of that, from the second day on; nobody's model gets older than two days.
    assert max(count for cycle, count in trained.items() if cycle > 2) <= 32
    assert min(latest.values()) > START + timedelta(days=1)


def test_new_facilities_do_not_wait_for_old_ones() -> None:
    shelf, ids = ModelShelf(), [f"fac-{number:04}" for number in range(500)]
    for one in ids:
        shelf.put({one: model(START)})
    assert shelf.new([*ids, "new"]) == ["new"]


def test_another_process_goes_on_with_the_models_of_this_one() -> None:
    kept = FakeForecastModels()
    ModelShelf(kept).put({"a": model(START), "b": model(START)})
    kept.keep({"c": msgspec.structs.replace(model(START), version="0")})
    other = ModelShelf(kept, readable=lambda one: one.version == "1")
    other.recall(["a", "b", "c", "d"], START)
    assert other.new(["a", "b", "c", "d"]) == ["c", "d"]
    assert other.get("a") == model(START)


def test_a_cycle_of_the_past_knows_no_model_that_was_trained_later() -> None:
    kept = FakeForecastModels()
    kept.keep({"a": model(START), "b": model(START + CYCLE)})
    shelf = ModelShelf(kept)
    shelf.recall(["a", "b"], START)
    assert shelf.new(["a", "b"]) == ["b"]


def test_facilities_that_cannot_be_trained_keep_nobody_waiting() -> None:
    shelf = ModelShelf()
    ids = [f"fac-{number:04}" for number in range(NEW_AT_ONCE + 10)]
    first = shelf.new(ids)
    assert first == ids[:NEW_AT_ONCE]
    assert shelf.new(ids)[:10] == ids[NEW_AT_ONCE:]
