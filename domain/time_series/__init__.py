"""Time series: windows, interval series, interval grids and quantiles."""
