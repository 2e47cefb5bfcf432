"""Load forecasts: regression on time of week and temperature, corrected by what it lately got wrong."""

from adapters.forecasting.load_forecaster import StatsmodelsLoadForecaster

__all__ = ["StatsmodelsLoadForecaster"]
