"""Migrations of the database schema, and checks of their compatibility."""
