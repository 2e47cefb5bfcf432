"""The archive in a folder or in S3, through obstore; files are created and never changed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from adapters.tls import CA_SETTING, plain_hint
from application.ports.archive import AlreadyArchived, ArchiveUnavailable, NotArchived

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config


ANSWER_WITHIN = timedelta(seconds=10)
RETRY_WITHIN = timedelta(seconds=20)
"""For one call. The caller retries on its own schedule and raises the alert."""


_ADVICE = {
    "IncompleteMessage": f"{plain_hint('https')} in GRIDPROOF_ARCHIVE_S3_ENDPOINT",
    "UnknownIssuer": f"the server's certificate is not accepted: is its authority in {CA_SETTING}?",
    "NotValidForName": "the server's certificate is for another name: use a name that it holds, or issue one for this",
}
"""What obstore's errors, which are text, name of a handshake -> what to do."""


@dataclass(frozen=True, kw_only=True)
class S3Access:
    """The access to the bucket. What is left out is taken from the machine: its role, its region."""

    endpoint: str | None = None
    """The http: or https: address of a service other than Amazon's."""
    region: str | None = None
    key_id: str | None = None
    secret: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    """PEM of authorities that are trusted beside the machine's."""

    def opened(self, url: str) -> ObjectStore:
        given = {
            "endpoint": self.endpoint,
            "region": self.region,
            "access_key_id": self.key_id,
            "secret_access_key": self.secret,
        }
        # A bucket with object lock and a default retention takes an object only with a checksum.
        given["checksum_algorithm"] = "SHA256"
        config = {name: value for name, value in given.items() if value is not None}
        client: ClientConfig = {
            "allow_http": bool(self.endpoint and self.endpoint.startswith("http:")),
            "connect_timeout": ANSWER_WITHIN,
            "timeout": ANSWER_WITHIN,
        }
        if self.ca_file is not None:
            client["root_certificate"] = self.ca_file.read_bytes()
        return from_url(
            url,
            config=cast("S3Config", config),
            client_options=client,
            retry_config={"max_retries": 2, "retry_timeout": RETRY_WITHIN},
        )


class ObjectArchive:
    """`url` is file:///folder or s3://bucket/prefix.

    In both, a file is created only where none of that name exists: by link(2) in a folder, by a conditional put
    (`If-None-Match: *`) in S3. So the retry of a put whose response was lost may raise AlreadyArchived.
    """

    def __init__(self, url: str, s3: S3Access | None = None) -> None:
        parts = urlsplit(url)
        self._url = url
        self._s3 = s3 or S3Access()
        self._folder = Path(unquote(parts.path)) if parts.scheme == "file" else None

    @cached_property
    def _store(self) -> ObjectStore:
        """Opened at first use, so that a process with an unavailable archive can do its other work."""
        try:
            if self._folder is None:
                return self._s3.opened(self._url)
            return LocalStore(self._folder, mkdir=True)
        except (BaseError, OSError, ValueError) as error:
            raise _unavailable(error) from error

    def put_once(self, name: str, content: bytes) -> None:
        try:
            obstore.put(self._store, name, content, mode="create", use_multipart=False)
            if self._folder is not None:
                _sync(self._folder, self._folder / name)
        except AlreadyExistsError as error:
            raise AlreadyArchived(f"{name} is in the archive already") from error
        except (BaseError, OSError) as error:
            raise _unavailable(error) from error

    def get(self, name: str) -> bytes:
        try:
            return obstore.get(self._store, name).bytes().to_bytes()
        except FileNotFoundError as error:
            raise NotArchived(f"{name} is not in the archive") from error
        except (BaseError, OSError) as error:
            raise _unavailable(error) from error

    def listed(self, prefix: str) -> list[str]:
        try:
            batches = obstore.list(self._store, prefix)
            return sorted(result["path"] for batch in batches for result in batch)
        except FileNotFoundError:
            return []
        except (BaseError, OSError) as error:
            raise _unavailable(error) from error


def _sync(folder: Path, path: Path) -> None:
    """Sync the file and the folders above it to the disk, which the local store does not do."""
    for place in (path, *(parent for parent in path.parents if parent == folder or folder in parent.parents)):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unavailable(error: Exception) -> ArchiveUnavailable:
    reason = str(error).partition("\n")[0]
    advice = next(
        (said for found, said in _ADVICE.items() if found in str(error)), "check GRIDPROOF_ARCHIVE_URL"
    )
    return ArchiveUnavailable(f"the archive did not answer: {reason}; {advice}")
