"""The meters' broker, read over MQTT."""

from adapters.mqtt.broker import MqttRefused, look_in
from adapters.mqtt.meter_feed import (
    CLIENT_ID,
    TOPIC_FILTER,
    MqttMeterFeed,
    MqttSubscriptionRefused,
)
from adapters.mqtt.packets import Version
from adapters.mqtt.tls import MqttTlsError, tls_context

__all__ = [
    "CLIENT_ID",
    "TOPIC_FILTER",
    "MqttMeterFeed",
    "MqttRefused",
    "MqttSubscriptionRefused",
    "MqttTlsError",
    "Version",
    "look_in",
    "tls_context",
]
