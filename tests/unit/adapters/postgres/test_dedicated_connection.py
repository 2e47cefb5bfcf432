"""Threads take turns on a dedicated connection; one that can do without it does not wait for its turn."""

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from adapters.postgres.connection.dedicated_connection import DedicatedConnection
from tests.patience import ANSWER_S


def test_a_caller_with_a_limit_does_not_wait_for_a_statement_of_another_thread() -> None:
    dedicated, began, over = DedicatedConnection("", "a test"), threading.Event(), threading.Event()

    def work() -> None:
        with dedicated._one_at_a_time:
            began.set()
            over.wait(ANSWER_S)

    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(work)
        assert began.wait(ANSWER_S)
        with pytest.raises(psycopg.OperationalError, match=r"busy for 0\.01 s"):
            dedicated.run((b"snapshots", ()), turn_within_s=0.01)
        assert not working.done()
        over.set()
