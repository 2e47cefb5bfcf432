"""Text that PostgreSQL can store."""


def storable(text: str) -> str:
    """`text` with NUL characters escaped, which PostgreSQL cannot store."""
    return text.replace("\0", "\\0")
