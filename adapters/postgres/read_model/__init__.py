"""Read models in PostgreSQL: projector, row tables and views."""
