"""Ports for forecasts: forecaster, models, issued forecasts and scores."""
