"""Converts exceptions to terminal messages that say what happened and what to do next."""

import click

OUR_PACKAGES = frozenset({"domain", "application", "projections", "adapters", "interfaces"})


class CliError(click.ClickException):
    exit_code = 1


class WrongSettings(click.ClickException):
    exit_code = 2


def to_click_exception(error: Exception) -> click.ClickException | None:
    """The click exception for `error`; None for a programming error, which then shows its traceback.

    The texts of this project's own errors already say what to do next.
    """
    package = type(error).__module__.partition(".")[0]
    if package in OUR_PACKAGES:
        return WrongSettings(str(error)) if type(error).__name__ == "SettingsError" else CliError(str(error))
    if package in {"psycopg", "psycopg_pool"} or type(error).__module__ == "eventsourcing.persistence":
        return CliError(
            f"PostgreSQL: {str(error).strip()}\nSee what is reachable with `gridproof doctor`, and whether the "
            "schema is this release's with `gridproof migrate --check`."
        )
    return None
