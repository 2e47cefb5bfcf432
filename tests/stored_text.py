"""Text as PostgreSQL stores it."""


def stored_text(text: str) -> str:
    """Without NUL, which PostgreSQL refuses."""
    return text.replace("\0", "\\0")
