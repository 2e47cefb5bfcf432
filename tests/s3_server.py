"""An S3 server on a loopback port: moto's, which supports conditional puts. Serial requests make them atomic."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import obstore
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from adapters.archive import ObjectArchive, S3Access


@dataclass(frozen=True)
class S3Server:
    url: str

    @property
    def access(self) -> S3Access:
        return S3Access(endpoint=self.url, region="us-east-1", key_id="test", secret="of nobody")

    def make_bucket(self, name: str) -> None:
        httpx.put(f"{self.url}/{name}").raise_for_status()

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


@contextmanager
def running_s3() -> Iterator[S3Server]:
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, application, handler_class=_Silent)
    thread = threading.Thread(target=server.serve_forever, name="s3", daemon=True)
    thread.start()
    try:
        yield S3Server(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()
