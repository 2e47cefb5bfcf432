"""The packets of MQTT 3.1.1 and 5 that a subscriber needs: encoding ours, decoding the broker's short responses."""

from collections.abc import Iterator
from typing import Literal

import msgspec

Version = Literal["3.1.1", "5"]

CONNACK, PUBLISH, SUBACK, DISCONNECT = 2, 3, 9, 14
PINGREQ = b"\xc0\x00"
PUBACK = b"\x40\x02"
"""Before the two bytes of the packet id: the same in both versions."""
DISCONNECT_PACKET = b"\xe0\x00"
"""DISCONNECT without a reason: the session persists for its expiry interval."""
REFUSED_FROM = 0x80
_SUBSCRIPTION_ID = 1
_SESSION_EXPIRY, _RECEIVE_MAXIMUM, _USER_PROPERTY, _REASON_STRING = 0x11, 0x21, 0x26, 0x1F
_WIDTHS = {0x01: 1, 0x02: 4, 0x11: 4, 0x13: 2, 0x17: 1, 0x19: 1, 0x21: 2, 0x22: 2, 0x23: 2, 0x24: 1, 0x25: 1,
           0x27: 4, 0x28: 1, 0x29: 1, 0x2A: 1}  # fmt: skip
_TEXTS = frozenset({0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F})

_REFUSALS: dict[Version, dict[int, str]] = {
    "3.1.1": {
        1: "it does not speak MQTT 3.1.1",
        2: "it refuses this client id",
        3: "it is unavailable",
        4: "user name or password are wrong",
        5: "this client is not authorised",
    },
    "5": {
        0x84: "it does not speak MQTT 5",
        0x85: "it refuses this client id",
        0x86: "user name or password are wrong",
        0x87: "this client is not authorised",
        0x88: "it is unavailable",
        0x89: "it is busy",
        0x8A: "this client is banned",
        0x9F: "too many connections at a time",
    },
}


class MqttProtocolError(ConnectionError):
    """The broker sent an invalid or unexpected packet."""


class BrokerResponse(msgspec.Struct, frozen=True):
    """The broker's response to CONNECT or SUBSCRIBE; `refusal` is None where it agreed."""

    code: int
    refusal: str | None = None


def connect(
    version: Version,
    client_id: str,
    *,
    user: str | None,
    password: str | None,
    keepalive_s: int,
    receive_maximum: int,
    session_expiry_s: int | None,
) -> bytes:
    """CONNECT to a persistent session; to one that ends with the connection where `session_expiry_s` is None."""
    flags = (0x80 if user is not None else 0) | (0x40 if password is not None else 0)
    flags |= 0x02 if session_expiry_s is None else 0
    body = _text("MQTT") + bytes((4 if version == "3.1.1" else 5, flags)) + keepalive_s.to_bytes(2, "big")
    if version == "5":
        properties = bytes((_SESSION_EXPIRY,)) + (session_expiry_s or 0).to_bytes(4, "big")
        properties += bytes((_RECEIVE_MAXIMUM,)) + receive_maximum.to_bytes(2, "big")
        body += varint(len(properties)) + properties
    body += _text(client_id)
    body += b"".join(_text(text) for text in (user, password) if text is not None)
    return b"\x10" + varint(len(body)) + body


def subscribe(version: Version, topic_filter: str) -> bytes:
    """SUBSCRIBE at QoS 1."""
    body = _SUBSCRIPTION_ID.to_bytes(2, "big") + (b"\x00" if version == "5" else b"")
    body += _text(topic_filter) + b"\x01"
    return b"\x82" + varint(len(body)) + body


def connack(version: Version, body: bytes) -> BrokerResponse:
    """Raises MqttProtocolError."""
    if len(body) < 2:
        raise MqttProtocolError("the broker answered CONNECT with nothing")
    code = body[1]
    if code == 0:
        return BrokerResponse(0)
    known = _REFUSALS[version].get(code) or f"its reason code is 0x{code:02x}"
    return BrokerResponse(code, known + (_reason(body[2:]) if version == "5" else ""))


def suback(version: Version, body: bytes) -> BrokerResponse:
    """Raises MqttProtocolError."""
    if len(body) < 3:
        raise MqttProtocolError("the broker answered SUBSCRIBE with nothing")
    if body[-1] < REFUSED_FROM:
        return BrokerResponse(body[-1])
    return BrokerResponse(
        body[-1], f"reason code 0x{body[-1]:02x}" + (_reason(body[2:]) if version == "5" else "")
    )


def traceparent_of(properties: bytes) -> str | None:
    """The user property `traceparent` among a PUBLISH's properties; None also where they are invalid."""
    if b"traceparent" not in properties:
        return None
    try:
        return next((value for name, value in _user_properties(properties) if name == "traceparent"), None)
    except (IndexError, UnicodeDecodeError, MqttProtocolError):
        return None  # a trace is optional: the reading counts without it


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, end index). Raises IndexError where more bytes are needed, MqttProtocolError for more than four."""
    value, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 21:
            raise MqttProtocolError("the broker sent a packet whose length makes no sense")


def varint(value: int) -> bytes:
    """A length in MQTT's variable-length encoding."""
    encoded = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        encoded.append(low | (0x80 if value else 0))
        if not value:
            return bytes(encoded)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def _reason(properties: bytes) -> str:
    try:
        length, at = read_varint(properties, 0)
        result = dict(_texts(properties[at : at + length]))
    except (IndexError, UnicodeDecodeError, MqttProtocolError):
        return ""
    return f" ({result[_REASON_STRING][:200]})" if _REASON_STRING in result else ""


def _user_properties(properties: bytes) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(properties):
        if properties[at] == _USER_PROPERTY:
            name, at = _read_text(properties, at + 1)
            value, at = _read_text(properties, at)
            yield name, value
        else:
            at = _after(properties, at)


def _texts(properties: bytes) -> Iterator[tuple[int, str]]:
    at = 0
    while at < len(properties):
        if properties[at] in _TEXTS:
            yield properties[at], _read_text(properties, at + 1)[0]
        at = _after(properties, at)


def _after(properties: bytes, at: int) -> int:
    """The end index of the property at `at`."""
    kind = properties[at]
    if kind in _WIDTHS:
        return at + 1 + _WIDTHS[kind]
    if kind == 0x0B:
        return read_varint(properties, at + 1)[1]
    if kind == _USER_PROPERTY:
        at = at + 3 + int.from_bytes(properties[at + 1 : at + 3], "big")
        return at + 2 + int.from_bytes(properties[at : at + 2], "big")
    if kind in _TEXTS:
        return at + 3 + int.from_bytes(properties[at + 1 : at + 3], "big")
    raise MqttProtocolError(f"unknown property 0x{kind:02x}")


def _read_text(data: bytes, at: int) -> tuple[str, int]:
    length = int.from_bytes(data[at : at + 2], "big")
    end = at + 2 + length
    if end > len(data):
        raise IndexError("a text is cut short")
    return data[at + 2 : end].decode(), end
