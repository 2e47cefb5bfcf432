"""Threads that first use the same structs at once, in a separate process, because it may crash."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from tests.demo_runs import ROOT

RACE = textwrap.dedent("""
    import sys, threading
    import msgspec
    from domain.event_sourcing.decoders import converted, json_decoder, msgpack_decoder

    use = {
        "json": lambda kind: json_decoder(kind).decode(as_json),
        "MessagePack": lambda kind: msgpack_decoder(kind).decode(as_msgpack),
        "conversion": lambda kind: converted(value, kind),
    }[sys.argv[1]]
    sys.setswitchinterval(1e-6)
    value = {f"field_{i}": {"value": 1} for i in range(50)}
    as_json, as_msgpack = msgspec.json.encode(value), msgspec.msgpack.encode(value)
    for round_number in range(int(sys.argv[2])):
        inner = [(f"field_{i}", msgspec.defstruct(f"Inner{i}", [("value", int)])) for i in range(50)]
        kind = msgspec.defstruct(f"Outer{round_number}", inner)
        together = threading.Barrier(4)

        def decode():
            together.wait()
            use(kind)

        threads = [threading.Thread(target=decode) for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
""")


def race(use: str, rounds: int) -> int:
    return subprocess.run([sys.executable, "-c", RACE, use, str(rounds)], cwd=ROOT, check=False).returncode


@pytest.mark.parametrize("use", ["json", "MessagePack", "conversion"])
def test_threads_that_first_use_the_same_type_at_once_all_succeed(use: str) -> None:
    assert race(use, 150) == 0
