"""Check of callback addresses by their text; no name is resolved here.

A name may resolve to a private address later: the sender of the callback checks that again.
"""

import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from application.public_address import Address, is_public

DEFAULT_PORTS = {"http": 80, "https": 443}
PRIVATE_NAMES = ("localhost", "local", "internal", "localdomain", "home.arpa")


def refusal_of(url: str, *, ports: Collection[int] | None) -> str | None:
    """Why `url` is refused; None if it is accepted. Without `ports`, any port of any host is accepted."""
    if not url.isascii() or any(character <= " " or character in "\\\x7f" for character in url):
        return "it holds characters that no address has"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "it is no address"
    if parts.scheme not in ("http", "https"):
        return "it does not begin with http:// or https://"
    if "@" in parts.netloc:
        return "it holds a user name; callbacks are signed instead"
    if not host or port == 0:
        return "it names no host, or port 0"
    if ports is None:
        return None
    if (port or DEFAULT_PORTS[parts.scheme]) not in ports:
        return f"its port is none of {', '.join(map(str, sorted(ports)))}"
    return _private(host)


def _private(host: str) -> str | None:
    name = host.rstrip(".").lower()
    if any(name == private or name.endswith(f".{private}") for private in PRIVATE_NAMES):
        return "it is a name of a private network"
    address = _as_address(name)
    if address is None:
        return None if "." in name else "it is a name of a private network"
    return None if is_public(address) else f"{address} is not a public address"


def _as_address(host: str) -> Address | None:
    """Also for IPv4 addresses in the forms that resolvers accept: `127.1`, `0x7f000001`, `2130706433`."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None
