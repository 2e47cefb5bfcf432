"""The error that the registers of operations (alerts, dead letters, utilities) have in common."""


class OperationsUnavailable(ConnectionError):
    """The registers of operations cannot be reached, or did not answer in time. It is unknown whether
    anything was stored."""
