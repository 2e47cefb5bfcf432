"""A client of the meters' MQTT broker: subscribes to the readings of meters."""

from adapters.mqtt.broker import MqttRefused, check_login, delete_session
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
    "check_login",
    "delete_session",
    "tls_context",
]
