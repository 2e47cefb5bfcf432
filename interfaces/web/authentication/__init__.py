"""Who calls: API keys, session cookies and rate limits."""
