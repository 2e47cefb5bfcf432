"""A check that building management systems take connections; nothing is sent to them."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections.abc import Collection
from contextlib import suppress
from urllib.parse import urlsplit

from application.facility.bms_networks import BmsAddressRefused, BmsNetworks

MOST_AT_ONCE = 64
ONE_WITHIN_S = 3.0
NOT_TRIED = "not tried in time"
_PORTS = {"http": 80, "https": 443}


async def unreachable(
    addresses: Collection[str], networks: BmsNetworks, *, within_s: float
) -> dict[str, str]:
    """Address -> why no connection could be opened, of those of `addresses` (URLs) to which none could.

    Those that were not tried within `within_s` are among them, as NOT_TRIED. A host of which one address is in no
    allowed network is not connected to, as by the calls themselves. A look-up of a name that is under way ends by the
    time limits of the system's resolver.
    """
    problems: dict[str, str] = dict.fromkeys(addresses, NOT_TRIED)
    waiting = iter(list(problems))

    async def attempt_next() -> None:
        for address in waiting:  # each address goes to one of those that take from it
            problem = await _problem(address, networks)
            if problem is None:
                del problems[address]
            else:
                problems[address] = problem

    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await asyncio.gather(*(attempt_next() for _ in range(min(MOST_AT_ONCE, len(problems)))))
    return problems


async def _problem(address: str, networks: BmsNetworks) -> str | None:
    try:
        async with asyncio.timeout(ONE_WITHIN_S):
            await _connect(address, networks)
    except BmsAddressRefused as error:
        return str(error)
    except TimeoutError:
        return "no connection in time"
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", None)  # asyncio writes its own text beside it
        return os.strerror(number) if isinstance(number, int) and number > 0 else str(error)
    return None


async def _connect(address: str, networks: BmsNetworks) -> None:
    """Raises OSError, BmsAddressRefused, or ValueError for what is no address."""
    networks.check_url(address)
    parts = urlsplit(address)
    port = parts.port or _PORTS[parts.scheme]
    loop = asyncio.get_running_loop()
    # All are checked before a connection is made to one: a name must not lead outside of the networks.
    found = await loop.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    for *_, place in found:
        networks.check(ipaddress.ip_address(str(place[0]).partition("%")[0]))
    for number, (family, kind, _, _, place) in enumerate(found, start=1):
        with socket.socket(family, kind) as connection:
            connection.setblocking(False)
            try:
                await loop.sock_connect(connection, place)
            except OSError:
                if number == len(found):
                    raise
            else:
                return
