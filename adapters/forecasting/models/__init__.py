"""The models of the ensemble: regressions, autoregression, corrections and naive methods."""
