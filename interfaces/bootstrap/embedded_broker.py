"""The logins of the facilities' meters at the embedded MQTT broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters.embedded.meter_logins import MeterLogins
    from interfaces.settings.settings import Settings


class ExternalBroker(ValueError):
    """The settings name an external broker, whose users are set up there."""


def meter_logins(settings: Settings) -> MeterLogins:
    """The logins at the broker of `gridproof up` in this data folder. Raises ExternalBroker or NoEmbeddedBroker."""
    from adapters.embedded.meter_logins import MeterLogins

    if settings.mqtt_url is not None or settings.nats_url is not None:
        raise ExternalBroker(
            "the meters' broker is not the embedded one: set up its users there, each for the topics of its own "
            "facility (docs/guides/meters.md says how, for Mosquitto and AWS IoT Core)"
        )
    return MeterLogins(settings.data_dir)
