"""The check of `gridproof doctor` that says where the ledger's key, the archive and the database stand together.

Whoever has two of them can rewrite the log and sign what was rewritten, and what is on one machine is lost with it.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from interfaces.bootstrap.doctor.result import CheckResult
from interfaces.settings.settings import Settings

NAME = "ledger places"
LOCAL_HOSTS = frozenset({"", "localhost", "127.0.0.1", "::1"})
ADVICE = (
    "keep the key on another machine or in a secret store (GRIDPROOF_LEDGER_KEY), and the archive in a bucket with "
    "object lock (GRIDPROOF_ARCHIVE_URL); have others keep checkpoints: docs/guides/servers.md"
)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where one of the three is."""

    what: str
    is_here: bool
    """On this machine."""
    path: Path | None = None
    """A file or folder, if it is one."""


def check_ledger_places(settings: Settings, database_url: str) -> CheckResult:
    """`warning` where two of them are on one machine, in one folder, or of one user."""
    places = [
        _key_place(settings),
        _archive_place(settings),
        database_place(settings, database_url),
    ]
    found = [
        f"{_listed(named)} are {why}"
        for named, why in (
            ([place.what for place in places if place.is_here], "on this machine"),
            ([place.what for place in places if _is_in(place, settings.data_dir)], f"in {settings.data_dir}"),
            (_of_one_user(places), "of one user"),
        )
        if len(named) > 1
    ]
    if not found:
        return CheckResult(check=NAME, state="ok", detail="key, archive and database are apart")
    detail = "; ".join(found)
    return CheckResult(check=NAME, state="warning", detail=detail, advice=ADVICE)


def _key_place(settings: Settings) -> Place:
    kind, _, value = (settings.ledger_key or f"file:{settings.data_dir / 'ledger.key'}").partition(":")
    return Place(what="key", is_here=True, path=Path(value) if kind == "file" else None)


def _archive_place(settings: Settings) -> Place:
    if settings.archive_url is None:
        return Place(what="archive", is_here=True, path=settings.data_dir / "archive")
    parts = urlsplit(settings.archive_url)
    if parts.scheme == "file":
        return Place(what="archive", is_here=True, path=Path(unquote(parts.path)))
    endpoint = settings.archive_s3_endpoint
    is_here = endpoint is not None and _is_here(urlsplit(endpoint).hostname or "")
    return Place(what="archive", is_here=is_here)


def database_place(settings: Settings, url: str) -> Place:
    from psycopg.conninfo import conninfo_to_dict

    known = conninfo_to_dict(url)
    names, addresses = (str(known.get(key) or "").split(",") for key in ("host", "hostaddr"))
    hosts = [address or name for name, address in zip_longest(names, addresses, fillvalue="")]
    embedded = settings.data_dir / "postgres"
    is_here = any(_is_here(host) for host in hosts)
    return Place(what="database", is_here=is_here, path=embedded if is_here and embedded.exists() else None)


def _is_here(host: str) -> bool:
    return host in LOCAL_HOSTS or host.startswith("/") or host in {socket.gethostname(), socket.getfqdn()}


def _is_in(place: Place, folder: Path) -> bool:
    return place.path is not None and place.path.absolute().is_relative_to(folder.absolute())


def _of_one_user(places: Sequence[Place]) -> list[str]:
    """The first group whose files belong to one user."""
    owners: dict[int, list[str]] = {}
    for place in places:
        if place.path is not None and place.path.exists():
            owners.setdefault(place.path.stat().st_uid, []).append(place.what)
    return next((named for named in owners.values() if len(named) > 1), [])


def _listed(named: Sequence[str]) -> str:
    return f"{', '.join(named[:-1])} and {named[-1]}"
