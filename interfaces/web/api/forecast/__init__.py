"""Routes of forecasts."""
