"""Routes for operators: alerts, dead letters, projections, health."""
