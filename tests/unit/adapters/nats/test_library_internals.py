"""The internals of nats-py that we override, against the installed version (ADR 0053)."""

import inspect

from nats.aio.client import Client


def test_the_client_has_the_members_that_ours_overrides() -> None:
    assert list(inspect.signature(Client._process_info).parameters) == ["self", "info", "initial_connection"]
    assert list(inspect.signature(Client._process_connect_init).parameters) == ["self"]
    assert {"_current_server", "_transport"} <= vars(Client()).keys()


def test_the_server_is_judged_before_the_login_is_sent() -> None:
    source = inspect.getsource(Client._process_connect_init)
    assert source.index("_process_info(") < source.index("tls_required") < source.index("_connect_command(")
