"""Adapters: implementations of the ports with real technology; only interfaces.bootstrap imports them."""
