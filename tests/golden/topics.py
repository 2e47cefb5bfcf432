"""The golden corpus: one stored example per topic, as written by a release.

python tests/golden/topics.py --write      writes the examples of new topics; it never changes an existing one
"""

import json
import sys
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent


def golden_file(topic: str) -> Path:
    return HERE / f"{topic}.json"


def stored_topics() -> list[str]:
    """Every topic in storage: domain events and snapshots."""
    from domain.event_sourcing.snapshot import Snapshot
    from tests.architecture.topics import current_topics

    return [*current_topics(), Snapshot.TOPIC]


def example_of(topic: str) -> dict[str, Any]:
    """An example derived from the field types; it is the same on every call."""
    from eventsourcing.utils import get_topic, resolve_topic

    from application.event_store.event_mapper import encode_state
    from domain.event_sourcing.snapshot import Snapshot
    from tests.golden.generated_values import generate_struct
    from tests.state_walks import dispatch_walk

    kind = resolve_topic(topic)
    if kind is Snapshot:
        walk = dispatch_walk(("hall", "roof"))
        for step in ("prepare", "attempt", "success"):
            walk.take(step)
        stored = Snapshot.take(walk.aggregate)
    else:
        stored = generate_struct(kind, Random(topic))
    return {
        "topic": get_topic(type(stored)),
        "originator_id": str(stored.originator_id),
        "originator_version": stored.originator_version,
        "state": json.loads(encode_state(stored)),
    }


def main() -> int:
    sys.path.insert(0, str(ROOT))
    if sys.argv[1:] != ["--write"]:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    for topic in stored_topics():
        path = golden_file(topic)
        if not path.exists():
            path.write_text(json.dumps(example_of(topic), indent=1, ensure_ascii=False) + "\n")
            sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
