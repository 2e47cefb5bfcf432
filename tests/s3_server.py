"""An S3 server on a loopback port: moto's, which supports conditional puts. Serial requests make them atomic."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import obstore
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from adapters.archive import ObjectArchive, S3Access
from tests.patience import ANSWER_S, END_S

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_TEN_YEARS = """
<ObjectLockConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
<ObjectLockEnabled>Enabled</ObjectLockEnabled>
<Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Years>10</Years></DefaultRetention></Rule>
</ObjectLockConfiguration>
"""


@dataclass(frozen=True)
class S3Server:
    url: str

    @property
    def access(self) -> S3Access:
        return S3Access(endpoint=self.url, region="us-east-1", key_id="test", secret="of nobody")

    def make_bucket(self, name: str) -> None:
        httpx.put(f"{self.url}/{name}", timeout=ANSWER_S).raise_for_status()

    def make_locked_bucket(self, name: str) -> None:
        """A bucket with object lock: nobody can remove a version for ten years, not even the account's owner."""
        lock = {"x-amz-bucket-object-lock-enabled": "true"}
        httpx.put(f"{self.url}/{name}", headers=lock, timeout=ANSWER_S).raise_for_status()
        httpx.put(f"{self.url}/{name}?object-lock", content=_TEN_YEARS, timeout=ANSWER_S).raise_for_status()

    def versions(self, bucket: str, key: str) -> list[str]:
        """The ids of the versions of an object, the newest first."""
        listed = (
            httpx.get(f"{self.url}/{bucket}?versions&prefix={key}", timeout=ANSWER_S).raise_for_status().text
        )
        return re.findall(r"<VersionId>([^<]+)</VersionId>", listed)

    def remove_version(self, bucket: str, key: str, version: str) -> int:
        """Try to remove a version; returns the HTTP status."""
        return httpx.delete(f"{self.url}/{bucket}/{key}?versionId={version}", timeout=ANSWER_S).status_code

    def archive(self, bucket: str, prefix: str = "") -> ObjectArchive:
        return ObjectArchive(f"s3://{bucket}/{prefix}", self.access)

    def overwrite(self, bucket: str, key: str, content: bytes) -> None:
        """Overwrite an object with full rights in the bucket."""
        obstore.put(self.access.opened(f"s3://{bucket}"), key, content)

    def remove(self, bucket: str, key: str) -> None:
        obstore.delete(self.access.opened(f"s3://{bucket}"), key)


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        return


def _as_amazon(application: WSGIApplication) -> WSGIApplication:
    """In a bucket with object lock, Amazon takes an object with any checksum header; moto asks for the SDK's."""

    def answered(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if "HTTP_X_AMZ_CHECKSUM_SHA256" in environ:
            environ["HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM"] = "SHA256"
        return application(environ, start_response)

    return answered


@contextmanager
def running_s3() -> Iterator[S3Server]:
    application = _as_amazon(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, handler_class=_Silent)
    thread = threading.Thread(target=server.serve_forever, name="s3", daemon=True)
    thread.start()
    try:
        yield S3Server(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join(END_S)
        server.server_close()
