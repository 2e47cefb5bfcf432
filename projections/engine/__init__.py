"""The projection engine: protocols of projections and rows, folds in memory, rebuilds and cursors."""
