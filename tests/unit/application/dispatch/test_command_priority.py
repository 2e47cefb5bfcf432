"""Checks wait for commands, for a limited time."""

import asyncio

from application.dispatch.execution.command_priority import CommandPriority


def test_a_check_waits_until_the_last_command_is_executed() -> None:
    async def run() -> list[str]:
        priority, order = CommandPriority(), []
        first, second = asyncio.Event(), asyncio.Event()

        async def command(name: str, ends: asyncio.Event) -> None:
            with priority.command():
                await ends.wait()
                order.append(name)

        async def check() -> None:
            await priority.wait_for_commands(60.0)
            order.append("check")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(command("first", first))
            tasks.create_task(command("second", second))
            await asyncio.sleep(0)
            tasks.create_task(check())
            await asyncio.sleep(0)
            first.set()
            await asyncio.sleep(0.01)
            second.set()
        return order

    assert asyncio.run(run()) == ["first", "second", "check"]


def test_a_check_does_not_wait_for_a_hanging_command() -> None:
    async def run() -> str:
        priority = CommandPriority()
        with priority.command():
            await priority.wait_for_commands(0.01)
            return "checked"

    assert asyncio.run(run()) == "checked"


def test_a_check_begins_at_once_without_a_command() -> None:
    async def run() -> bool:
        priority = CommandPriority()
        try:
            with priority.command():
                raise RuntimeError("a command that ends by an error is over too")
        except RuntimeError:
            waiting = asyncio.ensure_future(priority.wait_for_commands(60.0))
            await asyncio.sleep(0.01)
            return waiting.done()

    assert asyncio.run(run())
