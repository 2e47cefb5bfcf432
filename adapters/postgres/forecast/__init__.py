"""Forecasts, models and scores in PostgreSQL."""
