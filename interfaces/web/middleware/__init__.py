"""What wraps each request: metrics, conditional and stale responses, errors."""
