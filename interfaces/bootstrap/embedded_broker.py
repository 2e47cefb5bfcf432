"""The logins of facilities' meters at the embedded broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters.embedded.meter_logins import MeterLogins
    from interfaces.settings.settings import Settings


class BrokerIsYours(ValueError):
    """The settings name a broker: who may log in there is set up there."""


def meter_logins(settings: Settings) -> MeterLogins:
    """Those of the broker of `gridproof up` in this data folder. Raises BrokerIsYours or NoEmbeddedBroker."""
    from adapters.embedded.meter_logins import MeterLogins

    if settings.mqtt_url is not None or settings.nats_url is not None:
        raise BrokerIsYours(
            "the meters' broker is not the embedded one: set up its users there, each for the topics of its own "
            "facility (docs/guides/meters.md says how, for Mosquitto and AWS IoT Core)"
        )
    return MeterLogins(settings.data_dir)
