"""The demo: the whole story of a DR event on real servers, and a verdict on it."""
