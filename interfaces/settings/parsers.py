"""Parsers of single settings, from text to value, and what is read from an address. A parser raises ValueError with
what is expected."""

import ipaddress
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from application.facility.bms_networks import BmsNetworks

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def text(value: str) -> str:
    return value


def path(value: str) -> Path:
    return Path(value).expanduser()


def authorities(value: str) -> Path:
    """A PEM file of certificate authorities, which can be read. Absolute: other processes get it too."""
    file = Path(value).expanduser().absolute()
    if file.exists() and not file.is_file():  # a pipe would be waited for
        raise ValueError(f"{value} is no file; use a PEM file of authorities")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except ssl.SSLError:
        raise ValueError(f"{value} holds no certificate; use a PEM file of certificate authorities") from None
    except OSError as error:
        raise ValueError(
            f"{value} cannot be read ({error.strerror}); use a PEM file of authorities"
        ) from None
    return file


def boolean(value: str) -> bool:
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise ValueError("use true or false")


def number(low: float, high: float) -> Callable[[str], float]:
    """A number within [low, high]; NaN is outside of everything."""

    def parse(value: str) -> float:
        try:
            parsed = float(value)
        except ValueError:
            parsed = float("nan")
        if not low <= parsed <= high:
            raise ValueError(f"use a number from {low:g} to {high:g}")
        return parsed

    return parse


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """An integer within [low, high]."""

    def parse(value: str) -> int:
        if not (value.isascii() and value.isdigit() and len(value) <= 12 and low <= int(value) <= high):
            raise ValueError(f"use a whole number from {low} to {high}")
        return int(value)

    return parse


def moment(value: str) -> datetime:
    """An ISO 8601 time with its offset, as UTC."""
    try:
        parsed = datetime.fromisoformat(value)
        in_utc = None if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        in_utc = None
    if in_utc is None:
        raise ValueError("use a time with its offset, as 2026-07-14T21:00:00Z")
    return in_utc


def one_of(*choices: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"use one of: {', '.join(choices)}")
        return value

    return parse


def url(
    *schemes: str,
    hostless: bool = False,
    several: bool = False,
    alike: bool = False,
    many_hosts: bool = False,
) -> Callable[[str], str]:
    """An address with one of `schemes`.

    `hostless` admits addresses of a socket or folder (`unix:///run/redis.sock`); `several` admits a list with
    commas, as a NATS cluster has, whose addresses have one scheme and differ if they are `alike`; `many_hosts` admits
    several hosts in one address. The error never quotes the address, which may hold a password.
    """
    expected = "use an address beginning " + " or ".join(f"{scheme}://" for scheme in schemes)

    def parse(value: str) -> str:
        addresses = value.split(",") if several else [value]
        wanted = f"{expected} (a comma in a password is %2C)" if len(addresses) > 1 else expected
        found = set()
        for address in addresses:
            try:
                parts = urlsplit(address.strip())
                port = parts.port if alike else None
            except ValueError:
                raise ValueError(wanted) from None
            found.add((parts.scheme, parts.hostname, port))
            if parts.scheme not in schemes or not (
                parts.netloc or (hostless and (parts.path or parts.query))
            ):
                raise ValueError(wanted)
            if "," in parts.netloc.rpartition("@")[2] and not many_hosts:
                raise ValueError(f"{wanted}, and one alone: this is no list")
        if alike and len(addresses) > 1:
            _check_list(found, len(addresses), wanted)
        return value

    return parse


def _check_list(found: set[tuple[str, str | None, int | None]], count: int, expected: str) -> None:
    if len({scheme for scheme, _, _ in found}) > 1:
        raise ValueError(f"{expected}, the same for each address of the list")
    if any(host is None for _, host, _ in found):
        raise ValueError(f"{expected}, with a host in each address of the list")
    if len(found) < count:
        raise ValueError(f"{expected}, each address once")


broker = url("mqtt", "mqtts", several=True, alike=True)
cache = url("redis", "rediss", "unix", hostless=True, several=True, alike=True)


def bms_networks(value: str) -> str:
    """CIDRs with commas between them, as BmsNetworks reads them."""
    BmsNetworks.of(value)
    return value


def database(value: str) -> str:
    """An address of PostgreSQL; it may name several hosts, with a port each: `db-1:5432,db-2:5432`.

    libpq accepts a partly wrong list, and reports it only when the first host is away.
    """
    url("postgresql", "postgres", hostless=True, many_hosts=True)(value)
    hosts = urlsplit(value).netloc.rpartition("@")[2]
    for host in hosts.split(",") if hosts else []:
        name, _, port = (host, "", "") if host.endswith("]") or ":" not in host else host.rpartition(":")
        is_port = not port or (port.isascii() and port.isdigit() and 0 < int(port) <= 65_535)
        if not (name and is_port):
            raise ValueError("use HOST:PORT for each host, as postgresql://app@db-1:5432,db-2:5432/gridproof")
    return value


def host_and_port(value: str) -> str:
    """`HOST:PORT`; port 0 means any free port. An IPv6 host is written in brackets."""
    host, colon, port = value.rpartition(":")
    bare_ipv6 = ":" in host and not (host.startswith("[") and host.endswith("]"))
    if not (host and colon and port.isascii() and port.isdigit() and int(port) <= 65_535) or bare_ipv6:
        raise ValueError("use HOST:PORT, as 127.0.0.1:8080")
    return value


def networks(value: str) -> str:
    """Addresses and networks, separated by commas: `10.0.0.5,10.1.0.0/16,2001:db8::/64`."""
    for text in value.split(","):
        try:
            ipaddress.ip_network(text.strip())
        except ValueError:
            raise ValueError("use addresses and networks with commas, as 10.0.0.5,10.1.0.0/16") from None
    return value


def ports(value: str) -> str:
    """Numbers of ports, separated by commas."""
    for text in value.split(","):
        try:
            whole_number(1, 65_535)(text.strip())
        except ValueError:
            raise ValueError("use numbers of ports with commas, as 80,443,8443") from None
    return value


def emails(value: str) -> str:
    """Addresses with commas between them."""
    for address in value.split(","):
        user, _, host = address.strip().rpartition("@")
        printable = address.isascii() and address.isprintable() and not set(address.strip()) & set(' <>"')
        if not (user and host and printable and len(address) <= 254):
            raise ValueError("use addresses such as ops@example.org, with commas between them")
    return value


def failpoint(value: str) -> str:
    """`PROCESS.PLACE`."""
    process, dot, place = value.partition(".")
    if not (dot and process.replace("_", "").isalnum() and place.replace("_", "").isalnum()):
        raise ValueError("use PROCESS.PLACE, as dispatch.before_call")
    return value


def sends_in_clear(url: str | None) -> bool:
    """True if `url` is plain HTTP to another machine."""
    parts = urlsplit(url or "")
    return parts.scheme == "http" and parts.hostname not in {"127.0.0.1", "::1", "localhost"}


def without_password(address: str) -> str:
    """The address without its login (all up to the last @) and its query, which may hold tokens."""
    address = address.partition("?")[0]
    if "@" not in address:
        return address
    return f"{address.partition('://')[0]}://***@{address.rpartition('@')[2]}"
