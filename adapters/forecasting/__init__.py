"""Load forecasts: regression on time of week and temperature, corrected by recent errors and mixed with naive
methods."""

from adapters.forecasting.backtest import BatchedRollingForecasts
from adapters.forecasting.load_forecaster import BatchedLoadForecaster

__all__ = ["BatchedLoadForecaster", "BatchedRollingForecasts"]
