"""Of the webhook calls that are judged at once, one utility has a share (principle 1)."""

import asyncio
from functools import partial
from threading import Event
from typing import Any

import pytest

from interfaces.web.authentication.concurrency_limit import TenantConcurrencyLimit
from interfaces.web.problems import Problem
from tests.sample_values import facility_entry, program_entry
from tests.tenant_system import OWN, TenantSystem

PATIENCE_S = 30.0


def test_each_call_of_the_webhook_runs_within_the_share_of_its_utility(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limited, run = list[str](), TenantConcurrencyLimit.run

    async def noted(self: TenantConcurrencyLimit, tenant: str, call: Any) -> Any:
        limited.append(tenant)
        return await run(self, tenant, call)

    monkeypatch.setattr(TenantConcurrencyLimit, "run", noted)
    with TenantSystem(entries=[facility_entry()], programs=[program_entry()]) as there:
        assert there.post(OWN).status_code == 202
        assert there.change(OWN, "U-1", modification_number=1).status_code == 202
        assert there.cancel(OWN, "U-1").status_code == 200
    assert limited == [OWN] * 3


def test_a_utility_that_sends_all_it_can_leaves_places_to_others() -> None:
    async def scenario() -> list[str]:
        limit, go_on = TenantConcurrencyLimit(3, 2), Event()
        flood = [
            asyncio.create_task(limit.run("util-b", partial(asyncio.to_thread, go_on.wait, PATIENCE_S)))
            for _ in range(20)
        ]
        await asyncio.sleep(0)
        answered = await asyncio.wait_for(
            limit.run("util-a", partial(asyncio.to_thread, str, "judged")), PATIENCE_S
        )
        go_on.set()
        await asyncio.gather(*flood)
        return [answered]

    assert asyncio.run(scenario()) == ["judged"]


def test_a_disconnected_caller_keeps_its_part_until_its_call_ends() -> None:
    """Otherwise a utility could have any number at once by hanging up."""

    async def scenario() -> None:
        limit, go_on = TenantConcurrencyLimit(3, 1, within_s=0.05), Event()
        first = asyncio.create_task(limit.run("util-b", partial(asyncio.to_thread, go_on.wait, PATIENCE_S)))
        await asyncio.sleep(0.01)
        first.cancel()
        with pytest.raises(Problem, match="too slowly"):
            await limit.run("util-b", partial(asyncio.to_thread, str, "second"))
        go_on.set()
        await asyncio.sleep(0.01)

    asyncio.run(scenario())
