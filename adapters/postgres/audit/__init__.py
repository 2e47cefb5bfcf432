"""The log read by streams, for audits."""
