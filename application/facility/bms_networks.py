"""The networks in which a BMS may have its address (ADR 0066).

A call to a BMS is a request from inside our network to an address that a portfolio names, so some addresses are never
called: those of the machine's own link, of the metadata services of clouds, multicast and unspecified ones.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MOST_NETWORKS = 256

ANY = ("0.0.0.0/0", "::/0")
"""The default: every network but those below, and but this machine."""
_NEVER: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "unspecified"),
    ("169.254.0.0/16", "link-local, as are metadata services"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved or broadcast"),
    ("100.100.100.200/32", "a metadata service"),  # Alibaba Cloud
    ("168.63.129.16/32", "a metadata service"),  # Azure
    ("192.0.0.192/32", "a metadata service"),  # Oracle Cloud
    ("::/128", "unspecified"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local, which is withdrawn"),
    ("ff00::/8", "multicast"),
    ("fd00:ec2::/32", "a metadata service"),  # Amazon
    ("fd20:ce::/32", "a metadata service"),  # Google Cloud
    ("fd00:c1::/32", "a metadata service"),  # Oracle Cloud
)
NEVER = tuple((ipaddress.ip_network(network), why) for network, why in _NEVER)
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_LAST_32_BITS = tuple(
    ipaddress.IPv6Network(network)
    # IPv4 written as IPv6: compatible, mapped, translated (RFC 2765, 6052, 8215).
    for network in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
)


class BmsAddressRefused(ValueError):
    """The address of a BMS is in no allowed network; the text says which setting allows it, if one can."""


@dataclass(frozen=True)
class BmsNetworks:
    """`check` decides over an IP address, `check_url` over what can be seen in an address before it is resolved."""

    allowed: tuple[Network, ...]

    @classmethod
    def of(cls, networks: str | None) -> Self:
        """From CIDRs with commas between them; None: every network but this machine. Raises ValueError."""
        names = ANY if networks is None else tuple(filter(None, map(str.strip, networks.split(","))))
        if not 0 < len(names) <= MOST_NETWORKS:
            raise ValueError(f"use 1 to {MOST_NETWORKS} networks, as 10.20.0.0/16,192.0.2.7/32")
        try:
            allowed = tuple(ipaddress.ip_network(name) for name in names)
        except ValueError as error:
            raise ValueError(f"use networks as 10.20.0.0/16,192.0.2.7/32: {error}") from None
        for network in allowed:
            never = next((why for one, why in NEVER if _within(network, one)), None)
            if never is not None:
                raise ValueError(f"{network} is {never}: no BMS is ever called there")
        return cls(allowed)

    def check(self, address: Address) -> None:
        """Raises BmsAddressRefused; an IPv4 address inside an IPv6 one counts as that IPv4 address as well."""
        for one in {address, _carried(address)}:
            self._check(one)

    def _check(self, address: Address) -> None:
        for network, why in NEVER:
            if address in network:
                raise BmsAddressRefused(f"{address} is {why}: no BMS is ever called there")
        loopback = next((network for network in LOOPBACK if address in network), None)
        if loopback is not None:
            if not any(address in network and _within(network, loopback) for network in self.allowed):
                raise BmsAddressRefused(
                    f"{address} is this machine; name {loopback} in GRIDPROOF_BMS_NETWORKS if a BMS runs on it"
                )
        elif not any(address in network for network in self.allowed):
            raise BmsAddressRefused(
                f"{address} is in no network of GRIDPROOF_BMS_NETWORKS; add its network there, or correct the address"
            )

    def check_url(self, url: str) -> None:
        """Check an address before its name is resolved. Raises BmsAddressRefused."""
        host = (urlsplit(url).hostname or "").rstrip(".")
        literal = literal_address(host)
        if literal is not None:
            self.check(literal)
        elif host == "localhost" or host.endswith(".localhost"):
            self.check(ipaddress.IPv4Address("127.0.0.1"))
        elif _is_numeric(host):
            raise BmsAddressRefused(f"{host} is an unusual form of an IPv4 address; write it as 192.0.2.7")


def literal_address(host: str) -> Address | None:
    """The IP address that `host` is, without its zone; None for a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _carried(address: Address) -> Address:
    """The IPv4 address that an IPv6 one carries; else `address`."""
    if isinstance(address, ipaddress.IPv4Address) or int(address) < 2:
        return address
    if any(address in network for network in _LAST_32_BITS):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo
    return address.sixtofour or (teredo[1] if teredo else address)


def _within(network: Network, other: Network) -> bool:
    if isinstance(network, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and network.subnet_of(other)
    return isinstance(other, ipaddress.IPv6Network) and network.subnet_of(other)


def _is_numeric(host: str) -> bool:
    """True if resolvers take it for a number: 2130706433, 0x7f000001, 127.1."""
    last = host.rpartition(".")[2].lower()
    return last.isdigit() or (
        last.startswith("0x") and all(digit in "0123456789abcdef" for digit in last[2:])
    )
