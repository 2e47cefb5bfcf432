"""Queries: views of the read models, on the primary, on a replica, and in memory."""
