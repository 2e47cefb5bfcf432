"""The routes of the API, by capability."""
