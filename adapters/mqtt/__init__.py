"""A client of the meters' MQTT broker: subscribes to the readings of meters."""

from adapters.mqtt.broker import MqttRefused, check_login
from adapters.mqtt.meter_feed import (
    CLIENT_ID,
    TOPIC_FILTER,
    MqttMeterFeed,
    MqttSubscriptionRefused,
)
from adapters.mqtt.packets import Version

__all__ = [
    "CLIENT_ID",
    "TOPIC_FILTER",
    "MqttMeterFeed",
    "MqttRefused",
    "MqttSubscriptionRefused",
    "Version",
    "check_login",
]
