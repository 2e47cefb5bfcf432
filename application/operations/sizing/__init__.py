"""The size of a system, computed from its load and from measured figures; without a running system (ADR 0115)."""
