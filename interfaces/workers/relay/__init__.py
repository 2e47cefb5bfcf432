"""The relay worker: follows the log, gives the saga's commands, and publishes intents."""
