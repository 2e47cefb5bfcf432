"""The command bus: handling, batching, prefetching and retrying of commands."""
