"""The outside: HTTP, command line, worker processes, and the wiring of adapters."""
