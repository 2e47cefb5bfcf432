"""Load forecasts: regression on time of week and temperature, corrected by its latest errors, mixed and guarded."""

from adapters.forecasting.backtest import BatchedRollingForecasts
from adapters.forecasting.load_forecaster import BatchedLoadForecaster

__all__ = ["BatchedLoadForecaster", "BatchedRollingForecasts"]
