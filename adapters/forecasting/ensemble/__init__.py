"""The ensemble: rolling fit, trial forecasts, weights, intervals and stored parameters."""
