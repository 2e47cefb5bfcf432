"""The read model of dispatches."""
