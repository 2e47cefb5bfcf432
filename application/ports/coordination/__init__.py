"""Ports for coordination between processes: locks and partition assignment."""
