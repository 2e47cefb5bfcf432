"""What a web process answers at an address, and of which system it is."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import NamedTuple

_READY, _NOT_READY = 200, 503
_MAX_BYTES = 65_536
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Without the proxies of the environment: the address is one of this machine."""


class WebAnswer(NamedTuple):
    """The answer to `GET /ready`."""

    status: int
    system: str | None
    """None: it says none, as another program or a process that still starts."""

    def is_ready(self, system: str) -> bool:
        return self.status == _READY and self.system == system

    def is_foreign(self, system: str) -> bool:
        """Whether something else than a process of that system answers."""
        if self.system is not None:
            return self.system != system
        return self.status != _NOT_READY  # a process that waits for its database says no system yet


def ask_web(url: str, *, within_s: float) -> WebAnswer:
    """Ask `URL/ready`. Raises OSError where nobody answers in time, or not in HTTP."""
    try:
        with _OPENER.open(f"{url}/ready", timeout=within_s) as answer:
            return WebAnswer(answer.status, _system_of(answer.read(_MAX_BYTES)))
    except urllib.error.HTTPError as error:
        with error:
            return WebAnswer(error.code, _system_of(error.read(_MAX_BYTES)))
    except http.client.HTTPException as error:
        raise OSError(f"no answer in HTTP ({type(error).__name__})") from error


def _system_of(body: bytes) -> str | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    system = document.get("system") if isinstance(document, dict) else None
    return system if isinstance(system, str) else None
