"""The users of the embedded nats-server for the workers: each kind that works with the telemetry log has one.

The names have a dot, which no facility id has, so that none collides with a facility's login. Each user has inboxes of
its own (`_INBOX.<kind>`): otherwise every worker could read what JetStream answers to the others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

from application.operations.process_kinds import KINDS, ProcessKind

PREFIX = "gridproof."
READINGS = "TELEMETRY"
_SUBJECT = "telemetry.>"

_KINDS: Mapping[str, ProcessKind] = MappingProxyType(
    {kind.name: kind for kind in KINDS if kind.telemetry_log}
)
BROKER_USERS = tuple(PREFIX + kind for kind in _KINDS)


def user_of(worker: str) -> str:
    return PREFIX + worker


def users_text(passwords: Mapping[str, str]) -> str:
    """The entries of these users in nats-server's list of users."""
    return "".join(_entry(kind, passwords[user_of(kind)]) for kind in _KINDS)


def _entry(kind: str, password: str) -> str:
    permissions = {
        "publish": {"allow": published_by(kind), "deny": ["$JS.API.STREAM.DELETE.>"]},
        "subscribe": {"allow": [f"_INBOX.{kind}.>", *_KINDS[kind].subscribes]},
    }
    # JSON is a subset of the configuration's syntax.
    return f"  {json.dumps({'user': user_of(kind), 'password': password, 'permissions': permissions})}\n"


def published_by(kind: str) -> list[str]:
    """The subjects to which this kind of worker may publish, requests to JetStream included."""
    rights = _KINDS[kind].telemetry_log
    subjects = [
        "$JS.API.INFO",
        *(f"$JS.API.STREAM.{verb}.{READINGS}" for verb in ("INFO", "CREATE", "UPDATE")),
        f"$JS.API.CONSUMER.LIST.{READINGS}",
        f"$JS.API.CONSUMER.NAMES.{READINGS}",
        f"$JS.API.CONSUMER.INFO.{READINGS}.>",
        f"$JS.API.CONSUMER.CREATE.{READINGS}",
        f"$JS.API.CONSUMER.CREATE.{READINGS}.>",
        f"$JS.API.CONSUMER.DURABLE.CREATE.{READINGS}.>",
    ]
    if "publish" in rights:
        subjects.append(_SUBJECT)
    if rights & {"look at single messages", "consume"}:
        subjects += [
            f"$JS.API.STREAM.MSG.GET.{READINGS}",
            f"$JS.API.DIRECT.GET.{READINGS}",
            f"$JS.API.DIRECT.GET.{READINGS}.>",
        ]
    if "consume" in rights:
        # Deliveries, acknowledgements, single messages, and the removal of what is done with.
        subjects += [
            f"$JS.API.CONSUMER.*.{READINGS}.>",
            f"$JS.API.CONSUMER.MSG.NEXT.{READINGS}.>",
            f"$JS.API.STREAM.*.{READINGS}",
            f"$JS.API.STREAM.MSG.*.{READINGS}",
            f"$JS.ACK.{READINGS}.>",
            f"$JS.ACK.*.*.{READINGS}.>",
        ]
    return subjects
