"""The messages of a pack as their meters sent them: compressed, beside the columns that were read from them.

An archived pack so holds both: an error of the decoder can be repaired, and an auditor can see the original (ADR 0025).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import numpy as np

from domain.event_sourcing.decoders import msgpack_decoder

MAX_BYTES = 16_000_000
"""Of the messages of one pack, unpacked; ingest puts far less into one."""
_LEVEL = 1
"""A fifth of the size for 0.3 to 0.5 us of CPU per reading; level 6 takes four times as long for a sixth less."""
_US = timedelta(microseconds=1)


class BrokenPayloads(ValueError):
    """The stored messages of a pack cannot be unpacked."""


class ReceivedPayload(msgspec.Struct, frozen=True, gc=False):
    """A message as received."""

    topic: str
    received_at: datetime
    payload: bytes


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    """Numbers are four bytes of each message, little-endian."""

    first_at: datetime
    topics: list[str]
    topic_numbers: bytes
    """Which of `topics`."""
    after_us: bytes
    """Eight bytes of each: how long after `first_at` it was received."""
    sizes: bytes
    payloads: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgpack_decoder(_Packed).decode


def pack_payloads(messages: Sequence[ReceivedPayload]) -> bytes:
    """Encode at least one message."""
    first_at = min(one.received_at for one in messages)
    topics = {one.topic: n for n, one in enumerate(messages)}
    number = {topic: n for n, topic in enumerate(topics)}
    packed = _Packed(
        first_at,
        list(number),
        np.array([number[one.topic] for one in messages], dtype="<u4").tobytes(),
        np.array([(one.received_at - first_at) // _US for one in messages], dtype="<i8").tobytes(),
        np.array([len(one.payload) for one in messages], dtype="<u4").tobytes(),
        b"".join([one.payload for one in messages]),
    )
    return zlib.compress(_encode(packed), _LEVEL)


def unpack_payloads(packed: bytes) -> list[ReceivedPayload]:
    """The inverse of `pack_payloads`. Raises BrokenPayloads."""
    try:
        inflate = zlib.decompressobj()
        found = _decode(inflate.decompress(packed, MAX_BYTES))
        columns = [np.frombuffer(one, "<u4").tolist() for one in (found.topic_numbers, found.sizes)]
        after_us = np.frombuffer(found.after_us, "<i8").tolist()
        messages, start = [], 0
        for number, size, us in zip(*columns, after_us, strict=True):
            payload = found.payloads[start : start + size]
            start += size
            messages.append(ReceivedPayload(found.topics[number], found.first_at + us * _US, payload))
    except (zlib.error, msgspec.DecodeError, ValueError, IndexError, OverflowError) as error:
        raise BrokenPayloads(f"no packed messages: {error}") from error
    if start != len(found.payloads) or not inflate.eof:
        raise BrokenPayloads("no packed messages: their sizes do not add up")
    return messages
