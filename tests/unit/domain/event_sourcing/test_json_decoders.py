"""Threads that create decoders of the same structs at once, in a separate process, because it may crash."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from tests.demo_runs import ROOT

RACE = textwrap.dedent("""
    import sys, threading
    import msgspec
    from domain.event_sourcing.json_decoders import json_decoder

    made = {"ours": json_decoder, "msgspec's": msgspec.json.Decoder}[sys.argv[1]]
    sys.setswitchinterval(1e-6)
    document = msgspec.json.encode({f"field_{i}": {"value": 1} for i in range(50)})
    for round_number in range(int(sys.argv[2])):
        inner = [(f"field_{i}", msgspec.defstruct(f"Inner{i}", [("value", int)])) for i in range(50)]
        kind = msgspec.defstruct(f"Outer{round_number}", inner)
        together = threading.Barrier(4)

        def decode():
            together.wait()
            made(kind).decode(document)

        threads = [threading.Thread(target=decode) for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
""")


def race(made: str, rounds: int) -> int:
    return subprocess.run([sys.executable, "-c", RACE, made, str(rounds)], cwd=ROOT, check=False).returncode


def test_threads_that_create_the_same_decoder_at_once_all_decode() -> None:
    assert race("ours", 150) == 0
