"""Selection for training: new facilities at once, the others once a day, spread over the day."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec

from application.forecast.model_registry import EXAMINED_AT_ONCE, NEW_AT_ONCE, ModelRegistry
from application.ports.forecast.load_forecaster import TrainedModel
from tests.fakes.forecast.models import FakeForecastModels

START = datetime(2026, 7, 14, tzinfo=UTC)
CYCLE = timedelta(minutes=15)


def model(at: datetime, *, uses_weather: bool = True) -> TrainedModel:
    return TrainedModel(name="made up", version="1", trained_at=at, uses_weather=uses_weather, parameters=b"")


def test_a_facility_without_a_model_is_trained_at_once_and_then_once_a_day() -> None:
    shelf, ids = ModelRegistry(), ["a", "b", "c"]
    assert shelf.new(ids, START) == ids
    assert shelf.due(ids, START) == []
    for one in ids:
        shelf.put({one: model(START)})
    assert shelf.due(ids, START + timedelta(hours=23)) == []
    assert shelf.due(ids, START + timedelta(hours=24)) == ids


def test_a_model_without_weather_is_trained_again_sooner() -> None:
    shelf = ModelRegistry()
    shelf.put({"a": model(START, uses_weather=False)})
    assert shelf.due(["a"], START + timedelta(hours=5)) == []
    assert shelf.due(["a"], START + timedelta(hours=6)) == ["a"]


def test_models_trained_at_one_start_are_retrained_spread_over_the_following_days() -> None:
    shelf, ids = ModelRegistry(), [f"fac-{number:04}" for number in range(2_000)]
    trained: Counter[int] = Counter()
    latest: dict[str, datetime] = {}
    for cycle in range(3 * 96):
        at = START + CYCLE * cycle
        due = shelf.new(ids, at) + shelf.due(ids, at)
        trained[cycle] = len(due)
        for one in due:
            shelf.put({one: model(at)})
            latest[one] = at
    assert trained[0] == NEW_AT_ONCE
    # 1.5 times a day's share, from the second day on. No model gets older than two days.
    assert max(count for cycle, count in trained.items() if cycle > 2) <= 32
    assert min(latest.values()) > START + timedelta(days=1)


def test_a_model_that_another_process_trained_later_is_loaded_in_the_next_cycle() -> None:
    kept = FakeForecastModels()
    shelf = ModelRegistry(kept)
    shelf.put({"a": model(START, uses_weather=False)})
    kept.keep({"a": model(START + timedelta(minutes=5))})
    shelf.recall(["a"], START)
    assert shelf.without_weather(["a"], START) == ["a"]
    shelf.recall(["a"], START + CYCLE)
    assert shelf.without_weather(["a"], START + CYCLE) == []


def test_models_without_weather_are_examined_in_turn_and_after_an_improvement_not_at_once_again() -> None:
    shelf, ids = ModelRegistry(), [f"fac-{number:04}" for number in range(EXAMINED_AT_ONCE + 10)]
    shelf.put({one: model(START, uses_weather=False) for one in ids} | {"warm": model(START)})
    first = shelf.without_weather([*ids, "warm"], START + CYCLE)
    second = shelf.without_weather([*ids, "warm"], START + 2 * CYCLE)
    assert len(first) == EXAMINED_AT_ONCE
    assert set(first) | set(second) == set(ids)
    shelf.record_improvement(ids, START + 2 * CYCLE)
    assert shelf.without_weather(ids, START + timedelta(hours=6)) == []
    assert len(shelf.without_weather(ids, START + timedelta(hours=7))) == EXAMINED_AT_ONCE


def test_a_model_whose_history_was_read_in_vain_is_examined_again_after_an_hour() -> None:
    shelf = ModelRegistry()
    shelf.put({one: model(START, uses_weather=False) for one in ("a", "b")})
    assert shelf.without_weather(["a", "b"], START + CYCLE) == ["a", "b"]
    shelf.record_no_use(["a"], START + CYCLE)
    assert shelf.without_weather(["a", "b"], START + 2 * CYCLE) == ["b"]
    assert shelf.without_weather(["a", "b"], START + 5 * CYCLE) == ["a", "b"]
    assert shelf.without_weather(["a"], START) == ["a"], "the clock was set back"


def test_new_facilities_do_not_wait_for_old_ones() -> None:
    shelf, ids = ModelRegistry(), [f"fac-{number:04}" for number in range(500)]
    for one in ids:
        shelf.put({one: model(START)})
    assert shelf.new([*ids, "new"], START) == ["new"]


def test_another_process_uses_the_stored_models() -> None:
    kept = FakeForecastModels()
    ModelRegistry(kept).put({"a": model(START), "b": model(START)})
    kept.keep({"c": msgspec.structs.replace(model(START), version="0")})
    other = ModelRegistry(kept, readable=lambda one: one.version == "1")
    other.recall(["a", "b", "c", "d"], START)
    assert other.new(["a", "b", "c", "d"], START) == ["c", "d"]
    assert other.get("a") == model(START)


def test_a_cycle_of_the_past_ignores_models_trained_later() -> None:
    kept = FakeForecastModels()
    kept.keep({"a": model(START), "b": model(START + CYCLE)})
    shelf = ModelRegistry(kept)
    shelf.recall(["a", "b"], START)
    assert shelf.new(["a", "b"], START) == ["b"]


def test_facilities_that_cannot_be_trained_do_not_delay_others() -> None:
    shelf = ModelRegistry()
    ids = [f"fac-{number:04}" for number in range(NEW_AT_ONCE + 10)]
    first = shelf.new(ids, START)
    assert first == ids[:NEW_AT_ONCE]
    assert shelf.new(ids, START)[:10] == ids[NEW_AT_ONCE:]


def test_a_failed_training_is_not_repeated_for_an_hour_and_its_reason_is_given() -> None:
    shelf = ModelRegistry()
    shelf.record_failures({"a": "12 hours of load are known of a"}, START)
    soon, later = START + CYCLE * 3, START + CYCLE * 4
    assert shelf.new(["a", "b"], soon) == ["b"]
    why = shelf.failure_reason("a", soon) or ""
    assert why.startswith("12 hours of load are known of a (as of 2026-07-14T00:00:00+00:00, tried again")
    assert shelf.failure_reason("b", soon) is None
    assert "a" in shelf.new(["a", "b"], later)
    assert shelf.failure_reason("a", later) is None


def test_after_a_clock_was_set_back_failed_trainings_are_repeated_at_once() -> None:
    shelf = ModelRegistry()
    shelf.put({"b": model(START), "c": model(START, uses_weather=False)})
    shelf.record_failures({"a": "12 hours of load are known of a"}, START)
    back = START - CYCLE
    assert shelf.failure_reason("a", back) is None
    assert shelf.new(["a"], back) == ["a"]
    assert shelf.due(["b", "c"], back) == ["b", "c"]
    shelf.put({one: model(back) for one in ("b", "c")})
    assert shelf.due(["b", "c"], back + CYCLE) == []


def test_models_that_cannot_be_retrained_do_not_delay_others() -> None:
    """Their histories no longer exist, so these models stay the oldest ones."""
    shelf = ModelRegistry()
    gone = [f"gone-{number}" for number in range(20)]
    shelf.put({one: model(START) for one in [*gone, "new", "newer"]})
    tried: set[str] = set()
    for cycle in range(8):
        at = START + timedelta(hours=24) + CYCLE * cycle
        due = shelf.due([*gone, "new", "newer"], at)
        shelf.record_failures({one: "no history" for one in due if one in gone}, at)
        shelf.put({one: model(at) for one in due if one not in gone})
        tried |= set(due)
    assert {"new", "newer"} <= tried
