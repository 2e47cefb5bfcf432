"""A web process with a planted fault in the lists of facilities:

python -m tests.integration.prometheus.bad_web slow|failing
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from interfaces.cli import main
from interfaces.web.caching.shared_pages import SharedPages

DELAY_S = 15.0
_read = SharedPages.document


async def slow(*arguments: Any, **options: Any) -> Any:
    await asyncio.sleep(DELAY_S)
    return await _read(*arguments, **options)


async def failing(*_: Any, **__: Any) -> Any:
    raise RuntimeError("planted")


if __name__ == "__main__":
    SharedPages.document = {"slow": slow, "failing": failing}[sys.argv[1]]  # type: ignore[method-assign]
    main(["worker", "web"])
