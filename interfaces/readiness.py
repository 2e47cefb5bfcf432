"""Readiness of a process: the dependencies that it checks, and what `/ready` answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import msgspec

PROBE_DEADLINE_S = 2.0


class DependencyProblem(Exception):
    """Raised by the check of a probe. Its text is shown to everybody, unlike that of other errors."""


@dataclass(frozen=True, kw_only=True)
class ReadinessProbe:
    """A check of one dependency. Without a needed one the process is not ready; others only degrade it."""

    name: str
    needed: bool
    check: Callable[[], Awaitable[None]]
    """Raises any error of the dependency. Has PROBE_DEADLINE_S to return."""


class DependencyState(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    needed: bool
    """Without a needed dependency the process is not ready; without another it is degraded."""
    up: bool
    problem: str | None = None
    """The kind of failure."""


class Readiness(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    status: Literal["ready", "degraded", "not_ready"]
    dependencies: tuple[DependencyState, ...]
    system: str | None = None
    """Tells this system from another one that answers at the same address. Only web processes say it."""


def readiness_of(states: Iterable[DependencyState], *, system: str | None = None) -> Readiness:
    dependencies = tuple(states)
    down = [state for state in dependencies if not state.up]
    not_ready = any(state.needed for state in down)
    return Readiness(
        status="not_ready" if not_ready else "degraded" if down else "ready",
        dependencies=dependencies,
        system=system,
    )


async def states_of(probes: Iterable[ReadinessProbe]) -> tuple[DependencyState, ...]:
    """All are checked at once."""
    return tuple(await asyncio.gather(*map(_state_of, probes)))


async def _state_of(probe: ReadinessProbe) -> DependencyState:
    """Any error of a probe means that the dependency is down, since clients raise many kinds."""
    try:
        async with asyncio.timeout(PROBE_DEADLINE_S):
            await probe.check()
    except TimeoutError:
        return DependencyState(name=probe.name, needed=probe.needed, up=False, problem="no answer in time")
    except DependencyProblem as problem:
        return DependencyState(name=probe.name, needed=probe.needed, up=False, problem=str(problem))
    except Exception as error:  # noqa: BLE001 - any error counts; only its kind is reported, not the address
        return DependencyState(name=probe.name, needed=probe.needed, up=False, problem=type(error).__name__)
    return DependencyState(name=probe.name, needed=probe.needed, up=True)
