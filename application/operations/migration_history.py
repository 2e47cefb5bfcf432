"""True if a database was made by the migrations of this version: a history begins with ours, or ours begins with it."""

from collections.abc import Mapping

WHAT_TO_DO = "Nothing was changed. Run the version of Gridproof that made it, or begin anew with"
"""Before what holds no data yet, such as another folder."""


def history_difference(applied: Mapping[str, str], ours: Mapping[str, str]) -> str | None:
    """The first migration in which two histories differ, in words; None where they do not.

    Both map names of migrations to the SHA-256 of their texts, and are in the order of the names. A history that is a
    part of ours is upgraded; one that goes on after ours is of a newer release (ADR 0009).
    """
    for (name, digest), (own_name, own_digest) in zip(
        sorted(applied.items()), sorted(ours.items()), strict=False
    ):
        if name != own_name:
            return f"it has the migration {name}, and this version {own_name}"
        if digest != own_digest:
            return f"its migration {name} is not that of this version"
    return None
