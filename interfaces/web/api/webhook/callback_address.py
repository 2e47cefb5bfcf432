"""Check of callback addresses by their text; no name is resolved here.

A name may resolve to a private address later: the sender of the callback checks that again.
"""

import ipaddress
import socket
from urllib.parse import urlsplit

NAT64 = ipaddress.ip_network("64:ff9b::/96")
PRIVATE_NAMES = ("localhost", "local", "internal", "localdomain", "home.arpa")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def refusal_of(url: str, *, allow_private: bool) -> str | None:
    """Why `url` is refused; None if it is accepted."""
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
    return None if allow_private else _private(host)


def _private(host: str) -> str | None:
    name = host.rstrip(".").lower()
    if any(name == private or name.endswith(f".{private}") for private in PRIVATE_NAMES):
        return "it is a name of a private network"
    address = _as_address(name)
    if address is None:
        return None if "." in name else "it is a name of a private network"
    inner = _behind(address)
    return None if inner.is_global and not inner.is_multicast else f"{address} is not a public address"


def _behind(address: Address) -> Address:
    """The IPv4 address inside a translating IPv6 address."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address


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
