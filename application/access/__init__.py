"""Access: API keys and session tokens."""
