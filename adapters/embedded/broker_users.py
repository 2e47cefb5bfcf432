"""The users of the embedded nats-server for the workers: each kind may reach the streams that it works with.

The names have a dot, which no facility id has, so that none collides with a facility's login. Each user has inboxes of
its own (`_INBOX.<kind>`): otherwise every worker could read what JetStream answers to the others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

PREFIX = "gridproof."
BMS, CALLBACKS, READINGS = "BMS_WORK", "CALLBACK_WORK", "TELEMETRY"
_SUBJECTS = {BMS: "bms.work.>", CALLBACKS: "callback.work.>", READINGS: "telemetry.>"}

_PUBLISH, _CONSUME, _LOOK = "publish", "consume", "look at single messages"
_RIGHTS: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        # It replays callbacks and readings, and shows what waits; it can order nothing from a building.
        "web": {BMS: frozenset(), CALLBACKS: frozenset({_PUBLISH}), READINGS: frozenset({_PUBLISH})},
        "relay": {BMS: frozenset({_PUBLISH}), CALLBACKS: frozenset({_PUBLISH})},
        # It issues lost BMS commands again by a command of its own, and the relay publishes them.
        "schedule": {
            BMS: frozenset(),
            CALLBACKS: frozenset({_PUBLISH, _LOOK}),
            READINGS: frozenset({_LOOK}),
        },
        "dispatch": {BMS: frozenset({_PUBLISH, _CONSUME}), CALLBACKS: frozenset()},
        "notify": {BMS: frozenset(), CALLBACKS: frozenset({_PUBLISH, _CONSUME})},
        "ingest": {READINGS: frozenset({_PUBLISH, _LOOK})},
        "aggregate": {READINGS: frozenset({_PUBLISH, _CONSUME})},
        "archive": {READINGS: frozenset({_CONSUME})},
    }
)
"""Worker -> stream -> what it may do there, besides setting the stream up and looking at it."""
_OVER_MQTT = {"ingest": ("meters.*.*.readings", "$MQTT.sub.>")}
"""What the same login subscribes to over MQTT; the second is the listener's own, for a session's messages."""
BROKER_USERS = tuple(PREFIX + kind for kind in _RIGHTS)


def user_of(worker: str) -> str:
    return PREFIX + worker


def users_text(passwords: Mapping[str, str]) -> str:
    """The entries of these users in nats-server's list of users."""
    return "".join(_entry(kind, passwords[user_of(kind)]) for kind in _RIGHTS)


def _entry(kind: str, password: str) -> str:
    permissions = {
        "publish": {"allow": published_by(kind), "deny": ["$JS.API.STREAM.DELETE.>"]},
        "subscribe": {"allow": [f"_INBOX.{kind}.>", *_OVER_MQTT.get(kind, ())]},
    }
    # JSON is a subset of the configuration's syntax.
    return f"  {json.dumps({'user': user_of(kind), 'password': password, 'permissions': permissions})}\n"


def published_by(kind: str) -> list[str]:
    """The subjects to which this kind of worker may publish, requests to JetStream included."""
    subjects = ["$JS.API.INFO"]
    for stream, rights in _RIGHTS[kind].items():
        subjects += [f"$JS.API.STREAM.{verb}.{stream}" for verb in ("INFO", "CREATE", "UPDATE")]
        subjects += [
            f"$JS.API.CONSUMER.LIST.{stream}",
            f"$JS.API.CONSUMER.NAMES.{stream}",
            f"$JS.API.CONSUMER.INFO.{stream}.>",
            f"$JS.API.CONSUMER.CREATE.{stream}",
            f"$JS.API.CONSUMER.CREATE.{stream}.>",
            f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.>",
        ]
        if _PUBLISH in rights:
            subjects.append(_SUBJECTS[stream])
        if _LOOK in rights or _CONSUME in rights:
            subjects += [
                f"$JS.API.STREAM.MSG.GET.{stream}",
                f"$JS.API.DIRECT.GET.{stream}",
                f"$JS.API.DIRECT.GET.{stream}.>",
            ]
        if _CONSUME in rights:
            # Deliveries, acknowledgements, single messages, and the removal of what is done with.
            subjects += [
                f"$JS.API.CONSUMER.*.{stream}.>",
                f"$JS.API.CONSUMER.MSG.NEXT.{stream}.>",
                f"$JS.API.STREAM.*.{stream}",
                f"$JS.API.STREAM.MSG.*.{stream}",
                f"$JS.ACK.{stream}.>",
                f"$JS.ACK.*.*.{stream}.>",
            ]
    return subjects
