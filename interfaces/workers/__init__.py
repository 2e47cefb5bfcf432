"""The processes behind `gridproof worker NAME`: one file or folder each, and the loops that they share."""
