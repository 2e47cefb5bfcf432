"""Addresses of clients: what their connections and failed authentications are counted by, and trusted proxies."""

import ipaddress
from functools import lru_cache

IPV6_PREFIX = 64
"""A subscriber usually has a whole /64, and so 2**64 addresses."""
CACHED = 4_096


@lru_cache(CACHED)
def client_network(host: str) -> str:
    """An IPv4 address as it is, an IPv6 address by its /64; any other text (`unknown`, a socket) unchanged."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), IPV6_PREFIX), strict=False))


class TrustedProxies:
    """The addresses of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."""

    def __init__(self, networks: str | None = None) -> None:
        """`networks`: addresses and networks, separated by commas. Raises ValueError."""
        texts = [text.strip() for text in (networks or "").split(",") if text.strip()]
        self.networks = tuple(ipaddress.ip_network(text) for text in texts)
        self._contains = lru_cache(CACHED)(self._is_inside)

    def __contains__(self, host: object) -> bool:
        return bool(self.networks) and self._contains(host)

    def _is_inside(self, host: object) -> bool:
        try:
            address = ipaddress.ip_address(str(host))
        except ValueError:
            return False
        return any(address in network for network in self.networks)
