"""Wiring of the shared cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from application.ports.shared_cache import SharedCache
    from interfaces.bootstrap.stores import Stores


def current_cache(stores: Stores) -> SharedCache | None:
    """The cache of one event loop; None where the settings name none."""
    from adapters.redis.shared_cache import RedisSharedCache

    url = stores.settings.redis_url
    return None if url is None else RedisSharedCache(url)
