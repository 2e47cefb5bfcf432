"""Load meters: send the messages of a plan on schedule and resend those that are not acknowledged."""

import asyncio
from collections import deque
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

import msgspec

from interfaces.simulators.meters.load_plan import LoadPlan
from interfaces.simulators.meters.mqtt_publisher import KEEPALIVE_S, MqttPublisher

TICK_S = 0.01
RECONNECT_AFTER_S = 0.2
Message = tuple[bytes, bytes]


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """The load that was sent. Together with `plan` it defines exactly which readings a store must hold."""

    plan: LoadPlan
    messages: int
    """Handed to the broker at least once: numbers 0 .. n-1 of the plan."""
    readings: int
    acknowledged_messages: int
    unacknowledged_messages: int
    """Unacknowledged messages, which the broker may or may not have."""
    resent_messages: int
    """A broker may have had them already: a store must not count them twice."""
    connections: int
    """The number of connections made, including replacements of broken ones."""
    seconds: float
    """From the first message to the last acknowledgement."""
    readings_per_s: float
    longest_behind_s: float
    """By how much the latest message was late: the broker, or this machine, did not keep up."""


class MeterLoad:
    """Sends `plan` to `url` (`mqtt://user:password@host:port`) over `connections` connections."""

    def __init__(self, plan: LoadPlan, url: str, *, connections: int = 4, window: int = 2_000) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 1883
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._plan = plan
        self._window = window
        self._wanted = connections
        self._live: list[MqttPublisher] = []
        self._again: deque[Message] = deque()
        self.sent = 0
        self._acknowledged = 0
        self._resent = 0
        self._made = 0
        self._longest_behind_s = 0.0

    async def run(
        self,
        seconds: float,
        *,
        drain_s: float = 60.0,
        on_progress: Callable[[int], object] | None = None,
    ) -> LoadReport:
        """Send the messages due within the duration, then wait at most `drain_s` for acknowledgements."""
        loop = asyncio.get_running_loop()
        total = int(seconds * self._plan.messages_per_s)
        keepers = [asyncio.create_task(self._keep_connected(n)) for n in range(self._wanted)]
        try:
            began = loop.time()
            while self.sent < total:
                due = min(total, int((loop.time() - began) * self._plan.messages_per_s) + 1)
                self._send(due, loop.time() - began)
                if on_progress is not None:
                    on_progress(self.sent)
                await asyncio.sleep(TICK_S)
            deadline = loop.time() + drain_s
            while self._unacknowledged and loop.time() < deadline:
                self._send(total, 0.0)
                await asyncio.sleep(TICK_S)
            return self._report(loop.time() - began)
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)

    def _send(self, due: int, elapsed_s: float) -> None:
        """Resend first, then send due messages, within the limits of the in-flight windows."""
        live = [connection for connection in self._live if connection.room > 0]
        for number, connection in enumerate(live):
            share = -(-(len(self._again) + due - self.sent) // (len(live) - number))
            batch = self._batch(min(share, connection.room), due)
            if batch:
                connection.publish(batch)
        if self.sent < due:
            behind_s = elapsed_s - self.sent / self._plan.messages_per_s
            self._longest_behind_s = max(self._longest_behind_s, behind_s)

    def _batch(self, size: int, due: int) -> list[Message]:
        batch: list[Message] = []
        while self._again and len(batch) < size:
            batch.append(self._again.popleft())
            self._resent += 1
        fresh = min(size - len(batch), due - self.sent)
        batch.extend(self._plan.message(n) for n in range(self.sent, self.sent + fresh))
        self.sent += fresh
        return batch

    async def _keep_connected(self, number: int) -> None:
        """Keep one connection open, replacing it when it breaks; its unacknowledged messages go over another one."""
        while True:
            connection = MqttPublisher(window=self._window)
            try:
                client_id = f"{self._plan.run}-{number}"
                await connection.connect(
                    self._host, self._port, client_id=client_id, user=self._user, password=self._password
                )
                self._made += 1
                self._live.append(connection)
                await self._until_over(connection)
            except (OSError, TimeoutError):
                pass  # it retries; the report has the number of retries and the delay
            finally:
                if connection in self._live:
                    self._live.remove(connection)
                self._acknowledged += connection.acknowledged
                self._again.extend(connection.in_flight.values())
                connection.in_flight.clear()
                connection.acknowledged = 0
                connection.close()
            await asyncio.sleep(RECONNECT_AFTER_S)

    async def _until_over(self, connection: MqttPublisher) -> None:
        next_ping_at = asyncio.get_running_loop().time() + KEEPALIVE_S / 2
        while not connection.is_over:
            connection.changed.clear()
            try:
                async with asyncio.timeout_at(next_ping_at):
                    await connection.changed.wait()
            except TimeoutError:
                connection.ping()
                next_ping_at += KEEPALIVE_S / 2

    @property
    def _unacknowledged(self) -> int:
        return len(self._again) + sum(len(connection.in_flight) for connection in self._live)

    def _report(self, seconds: float) -> LoadReport:
        acknowledged = self._acknowledged + sum(connection.acknowledged for connection in self._live)
        readings = self._plan.readings_in(self.sent)
        return LoadReport(
            plan=self._plan,
            messages=self.sent,
            readings=readings,
            acknowledged_messages=acknowledged,
            unacknowledged_messages=self._unacknowledged,
            resent_messages=self._resent,
            connections=self._made,
            seconds=round(seconds, 3),
            readings_per_s=round(readings / seconds, 1) if seconds else 0.0,
            longest_behind_s=round(self._longest_behind_s, 3),
        )
