"""The forecast worker: issues forecasts, and scores them against the meters."""
