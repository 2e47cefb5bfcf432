"""The worker that calculates: forecasts of load, and what each facility delivered."""
