"""The reason for AckInbox: nats-py's own `publish_async` never answers a publish that the stream refuses.

If this fails, the library may have been mended, and AckInbox may go.
"""

import asyncio

import msgspec
import nats.js.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

FULL = {"error": {"code": 503, "err_code": 10077, "description": "maximum bytes exceeded"}}


def test_the_library_loses_a_refusal() -> None:
    async def scenario() -> None:
        client = Client()
        context = JetStreamContext(client)
        answer = context._publish_async_futures["token"] = asyncio.get_running_loop().create_future()
        subject = f"{client._inbox_prefix.decode()}.{'n' * 22}.token"
        with pytest.raises(nats.js.errors.ServiceUnavailableError):
            await context._handle_async_reply(Msg(client, subject, data=msgspec.json.encode(FULL)))
        assert not answer.done()

    asyncio.run(scenario())
