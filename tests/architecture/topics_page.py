"""The table of docs/topics.md, made from the domain events:

    python tests/architecture/topics_page.py --write

The release since which a topic is written stands in the page alone: a new topic gets that of this release.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from application.event_store.upcasters import UPCASTERS, present_topic  # noqa: E402 - run as a script too
from application.operations.release import RELEASE  # noqa: E402
from domain.event_sourcing.aggregate import Aggregate  # noqa: E402
from tests.architecture.topics import published_topics, stored_types  # noqa: E402

WRITTEN_FROM = ".".join(RELEASE.split(".")[:2])
"""A topic that is not in the page yet is written from this release on."""
PAGE = ROOT / "docs" / "topics.md"
HEAD = "| topic | since | what happened | fields |\n|---|---|---|---|\n"
ROW = re.compile(r"^\| `([a-z.0-9-]+)` \| ([0-9.]+) \|", re.MULTILINE)
OF_EVERY_ONE = {field.encode_name for field in msgspec.structs.fields(Aggregate.Event)} | {"originator_topic"}


def releases(page: str) -> dict[str, str]:
    """Topic -> since which release it is written, as the page says."""
    return dict(ROW.findall(page))


def topics_page(page: str) -> str:
    """What stands before the table now, and the table."""
    return page.partition(HEAD)[0] + HEAD + "".join(_rows(releases(page)))


def _rows(since: dict[str, str]) -> Iterator[str]:
    sentences = {
        kind.__dict__["TOPIC"]: " ".join((inspect.getdoc(kind) or "").split()).replace("|", "/")
        for kind in stored_types()
        if "TOPIC" in kind.__dict__
    }
    for topic, shape in sorted(published_topics().items()):
        older = f"An older form of `{present_topic(topic)}`: still read, never written."
        sentence = older if topic in UPCASTERS else sentences[topic]
        fields = [name for name in _top_level(shape) if name not in OF_EVERY_ONE]
        named = ", ".join(f"`{name}`" for name in fields)
        yield f"| `{topic}` | {since.get(topic, WRITTEN_FROM)} | {sentence} | {named} |\n"


def _top_level(shape: str) -> Iterator[str]:
    """The names of the fields of a shape, without those of the structs in it."""
    depth, outside = 0, ""
    for sign in shape[1:-1]:
        depth += (sign in "{[(") - (sign in "}])")
        outside += sign if depth == 0 else ""
    for field in outside.split(", "):
        yield field.partition(":")[0].removesuffix("?")


if __name__ == "__main__":
    written = topics_page(PAGE.read_text(encoding="utf-8"))
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(written, encoding="utf-8")
    else:
        sys.stdout.write(written)
