"""The demo: one DR event from notification to measurement on real servers, with checks at the end."""
