"""What is missing for the weather of a portfolio's cells, and what follows."""

from hypothesis import given
from hypothesis import strategies as st

from application.weather.requirements import DAYS_A_MONTH, WeatherContract, problems_of_contract

LARGE = WeatherContract(calls_a_month=100_000, history_days=56)


def test_a_contract_that_covers_everything_has_no_problem() -> None:
    assert list(problems_of_contract(LARGE, {"la", "muc"}, {"la", "muc", "of-another-time"})) == []
    assert list(problems_of_contract(LARGE, (), ())) == []


def test_cells_without_coordinates_are_named_with_what_follows() -> None:
    (problem,) = problems_of_contract(LARGE, {"muc", "la", "fra"}, {"la"})
    assert problem.startswith(
        "weather cells fra, muc: no facility there has coordinates, so there is no weather"
    )
    assert problem.endswith("programs with guardrail block will not dispatch")
    many = {f"cell-{number}" for number in range(9)}
    (problem,) = problems_of_contract(LARGE, many, ())
    assert problem.startswith("weather cells cell-0, cell-1, cell-2, cell-3, cell-4 and 4 more: ")


def test_cells_that_need_more_calls_than_the_contract_allows_are_counted() -> None:
    contract = WeatherContract(calls_a_month=31_000, history_days=56)
    allowed, more = {f"cell-{number}" for number in range(35)}, {f"cell-{number}" for number in range(36)}
    assert list(problems_of_contract(contract, allowed, allowed)) == []
    (problem,) = problems_of_contract(contract, more, more)
    assert problem.startswith(
        "36 weather cells need 1008 calls a day, the contract allows 1000; beyond them "
    )


def test_a_contract_with_little_history_says_how_long_models_do_without_weather() -> None:
    (problem,) = problems_of_contract(WeatherContract(calls_a_month=100_000, history_days=7), {"la"}, {"la"})
    assert "GRIDPROOF_WEATHER_HISTORY_DAYS is 7" in problem
    assert "five weeks" in problem


@given(st.integers(0, 100_000), st.integers(100, 1_000_000_000))
def test_calls_that_are_allowed_fit_into_any_month(cells: int, calls_a_month: int) -> None:
    needed = WeatherContract(calls_a_month=calls_a_month, history_days=56).needed_by(cells)
    assert not needed.are_allowed or needed.a_day * DAYS_A_MONTH <= calls_a_month
