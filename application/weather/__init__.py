"""Weather: caching source, call quota and cell locations."""
