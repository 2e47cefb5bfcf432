"""Read models in PostgreSQL: projection runner, row tables and views."""
