"""Projections: read models as pure folds over the event log, and the queries over them."""
