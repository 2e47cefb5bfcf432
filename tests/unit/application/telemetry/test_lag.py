from collections.abc import Iterable

from application.telemetry.lag import LEVELS_S, RISING, LagTrend


def raised(samples: Iterable[tuple[float, float]]) -> set[str]:
    """The alerts that are open after (time, lag) samples."""
    trend, on = LagTrend(), {}
    for at_s, lag_s in samples:
        on = dict(trend.note(at_s, lag_s))
    return {name for name, is_on in on.items() if is_on}


def test_each_level_is_raised_above_its_lag_and_cleared_below_it() -> None:
    assert raised([(0, 15)]) == set()
    assert raised([(0, 16)]) == {"telemetry_lag"}
    assert raised([(0, 76)]) == {"telemetry_lag", "telemetry_lag_high"}
    assert raised([(0, 151)]) == set(LEVELS_S)
    assert raised([(0, 151), (1, 80)]) == {"telemetry_lag", "telemetry_lag_high"}
    assert raised([(0, 151), (1, 0)]) == set()


def test_a_lag_that_grows_for_half_a_minute_is_rising() -> None:
    assert RISING in raised((s, float(s)) for s in range(60))
    assert RISING not in raised((s, float(s)) for s in range(29))


def test_a_shrinking_or_constant_backlog_is_not_rising() -> None:
    assert RISING not in raised((s, 200.0 - s) for s in range(60))
    assert RISING not in raised((s, 20.0) for s in range(60))
    assert RISING not in raised([*((s, float(s)) for s in range(60)), (60, 50.0)])


def test_a_small_lag_raises_no_alert() -> None:
    assert raised((s, s / 5) for s in range(60)) == set()
