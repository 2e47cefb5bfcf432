"""The command context of a request (actor, tenant, trace and a new correlation id), and its call of the command bus."""

import asyncio
from typing import Any
from uuid import uuid4

import msgspec

from application.command_bus.decision_context import CommandContext
from interfaces.web.edge import web_of
from interfaces.web.guard.access import ApiRequest
from interfaces.web.middleware.tracing import trace_id_of


def actor_of(request: ApiRequest) -> str:
    """`utility:<id>`, or `<role>:<key id>`."""
    api_key = request.user
    return (
        f"utility:{api_key.utility_id}" if api_key.role == "utility" else f"{api_key.role}:{api_key.key_id}"
    )


def tenant_of(request: ApiRequest) -> str:
    """Whose calls a limit counts together: those of a tenant, or of a key without one."""
    return request.user.utility_id or f"key {request.user.key_id}"


def context_of(request: ApiRequest) -> CommandContext:
    """Each request begins a new correlation."""
    return CommandContext(
        correlation_id=uuid4(),
        causation_id=uuid4(),
        actor=actor_of(request),
        tenant=request.user.utility_id,
        trace_id=trace_id_of(request.scope),
    )


async def handle_command(
    request: ApiRequest, command: msgspec.Struct, *, reply_type: type[msgspec.Struct] | None = None
) -> Any:
    """The reply of the command bus, called in a thread. Raises what the command raises."""
    bus = web_of(request).bus
    return await asyncio.to_thread(bus.handle, command, context_of(request), reply_type=reply_type)
