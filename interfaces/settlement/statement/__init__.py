"""Statements: a settlement as a printable page, and as records that a spreadsheet adds up."""
