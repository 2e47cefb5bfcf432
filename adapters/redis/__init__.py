"""Redis or Valkey: the shared cache, rate limits and the weather quota, each with a fallback."""
