"""Input data of forecasts: resampling, cleaning, and grouping histories into batches."""
