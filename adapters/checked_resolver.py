"""Name resolution with a check of every result.

The connection is made to one of the addresses that were checked, so a name cannot lead elsewhere after the check.
"""

import ipaddress
import socket
from collections.abc import Callable

from aiohttp.abc import AbstractResolver, ResolveResult

from application.public_address import Address


class CheckedResolver(AbstractResolver):
    """`check` gets the host and one of its addresses, and raises what `resolve` shall raise."""

    def __init__(self, resolver: AbstractResolver, check: Callable[[str, Address], None]) -> None:
        self._resolver = resolver
        self._check = check

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """All results, if every one of them passes the check."""
        results = await self._resolver.resolve(host, port, family)
        for result in results:
            self._check(host, ipaddress.ip_address(result["host"].partition("%")[0]))
        return results

    async def close(self) -> None:
        await self._resolver.close()
