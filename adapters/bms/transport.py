"""HTTP calls of a BMS: limited in time and size, without redirects. The errors say whether the request was sent."""

import ssl
from base64 import b64encode

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver

from adapters.bounded_connector import BoundedConnector
from adapters.checked_resolver import CheckedResolver
from adapters.tls import plain_hint, tls_problem
from application.facility.bms_networks import BmsAddressRefused, BmsNetworks
from application.ports.dispatch.building_control import (
    BmsAnswerInvalid,
    BmsBusy,
    BmsRefused,
    BmsTimedOut,
    BmsUnreachable,
)
from application.public_address import Address

KEEPALIVE_S = 0.5
"""Wall seconds that an idle connection stays open for the next call."""


class ConnectTimedOut(BmsUnreachable):
    """No connection within the limit. Unlike a refused connection it counts as a failure of the breaker."""


class CallLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one call, in wall seconds and bytes."""

    connect_s: float
    total_s: float
    answer_bytes: int


class HttpAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An XML body with HTTP 200 (`ok`) or 500, which SOAP 1.1 uses for a fault."""

    ok: bool
    xml: bytes


class BmsHttp:
    """Posts SOAP envelopes. A connection serves consecutive zones of a building and is closed then.

    The longer a connection stays open, the likelier the BMS closes it just as it is used again. It is then uncertain
    whether the request arrived, and the result must be queried, as after every lost response.
    """

    def __init__(
        self,
        networks: BmsNetworks,
        *,
        tls: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """`tls`: of the connections to https addresses; None trusts the machine's authorities. `resolver` replaces the
        system's name resolution."""
        self._tls = tls
        self._networks = networks
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self,
        address: str,
        body: bytes,
        headers: dict[str, str],
        *,
        credentials: tuple[str, bytes] | None,
        limits: CallLimits,
    ) -> HttpAnswer:
        """The response, of an HTTP 200 or 500. Raises BmsUnreachable, BmsTimedOut, BmsAnswerInvalid, and
        BmsRefused(`unauthorized`) for 401 and 403."""
        self._check_literal(address)
        timeout = aiohttp.ClientTimeout(total=limits.total_s, sock_connect=limits.connect_s)
        try:
            async with self._open().post(
                address,
                data=body,
                headers={**headers, **_authorization(credentials)},
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                _check_status(response)
                return HttpAnswer(ok=response.status == 200, xml=await _read(response, limits.answer_bytes))
        except aiohttp.ConnectionTimeoutError as error:
            raise ConnectTimedOut("no connection within the limit") from error
        except (
            aiohttp.ClientConnectorError,
            aiohttp.ClientConnectorCertificateError,
            aiohttp.InvalidURL,
        ) as error:
            raise BmsUnreachable(tls_problem(error) or f"{type(error).__name__}: {error}") from error
        except TimeoutError as error:
            raise BmsTimedOut("no complete answer within the limit") from error
        except aiohttp.ClientResponseError as error:
            raise BmsAnswerInvalid(f"not HTTP: {error.message}{_hint(address)}") from error
        except (aiohttp.ClientError, OSError) as error:
            reason = f"the connection was lost before the answer: {type(error).__name__}{_hint(address)}"
            raise BmsTimedOut(reason) from error

    def _check_literal(self, address: str) -> None:
        """An address that is no name reaches no resolver."""
        try:
            self._networks.check_url(address)
        except BmsAddressRefused as error:
            raise BmsUnreachable(f"nothing was sent: {error}") from error

    def _check_resolved(self, host: str, address: Address) -> None:
        try:
            self._networks.check(address)
        except BmsAddressRefused as error:
            raise BmsUnreachable(f"nothing was sent: {host} is {error}") from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=BoundedConnector(
                    limit=0,
                    ssl=self._tls or True,
                    keepalive_timeout=KEEPALIVE_S,
                    resolver=CheckedResolver(
                        self._resolver or aiohttp.ThreadedResolver(), self._check_resolved
                    ),
                ),
                auto_decompress=False,
                headers={"Accept": "text/xml", "Accept-Encoding": "identity", "User-Agent": "gridproof"},
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()


def _hint(address: str) -> str:
    return f"; {plain_hint('https')}" if address.startswith("http:") else ""


def _authorization(credentials: tuple[str, bytes] | None) -> dict[str, str]:
    if credentials is None:
        return {}
    user, password = credentials
    return {"Authorization": "Basic " + b64encode(user.encode() + b":" + password).decode()}


def _check_status(response: aiohttp.ClientResponse) -> None:
    if response.status in (401, 403):
        raise BmsRefused("unauthorized", f"HTTP {response.status}: check the facility's BMS credentials")
    if response.status in (429, 503):
        wait = response.headers.get("Retry-After", "")
        # Seconds only. The other form, a date, depends on a clock that may be wrong.
        raise BmsBusy(f"HTTP {response.status}", float(wait) if wait.isascii() and wait.isdigit() else 0.0)
    if response.status not in (200, 500):
        raise BmsAnswerInvalid(f"HTTP {response.status} {response.content_type}")
    if response.content_type != "text/xml":
        raise BmsAnswerInvalid(f"HTTP {response.status} with {response.content_type} instead of text/xml")


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(8192):
        body += chunk
        if len(body) > limit:
            raise BmsAnswerInvalid(f"an answer of more than {limit} bytes")
    return bytes(body)
