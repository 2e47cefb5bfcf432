"""Forecasts: cycles, training, issuing, scoring, accuracy and documents."""
