"""The shapes of everything stored under a topic, as they were published: `published_topics.json`.

Stored shapes are permanent. After adding a topic, or a field with a default, write the file again and review the
difference:

    python tests/architecture/topics.py --write
"""

import importlib
import json
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

ROOT = Path(__file__).parents[2]
PUBLISHED = Path(__file__).with_name("published_topics.json")


class TopicGivenTwice(ValueError):
    """Two domain events that are not one class have the same topic."""


def stored_types() -> Iterator[type[msgspec.Struct]]:
    """Every domain event class that can be stored, in all modules of the domain."""
    domain = importlib.import_module("domain")
    for module in pkgutil.walk_packages(domain.__path__, "domain."):
        importlib.import_module(module.name)
    base = importlib.import_module("domain.event_sourcing.aggregate").DomainEvent
    # Tests in this process may have defined domain events.
    yield from (stored for stored in _leaves(base) if stored.__module__.startswith("domain."))


def _leaves(base: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    """Classes below `base` that are recorded; the bases `<Aggregate>.Event` never are."""
    for below in base.__subclasses__():
        yield from _leaves(below)
        topic = below.__dict__.get("TOPIC")
        if topic is None or not topic.endswith(".event"):
            yield below


def current_topics() -> dict[str, str]:
    """Topic -> shape. A class without its own topic is listed under its module and name.

    The library derives another class from a domain event that lacks the aggregate's base; both have one topic.
    """
    found: dict[str, type[msgspec.Struct]] = {}
    for stored in stored_types():
        if "TOPIC" not in stored.__dict__ and stored.__subclasses__():
            continue  # a base
        topic = stored.__dict__.get("TOPIC", f"{stored.__module__}:{stored.__qualname__}")
        other = found.setdefault(topic, stored)
        if not (issubclass(other, stored) or issubclass(stored, other)):
            raise TopicGivenTwice(f"{topic}; each domain event has its own")
    return {topic: shape(inspect.type_info(found[topic])) for topic in sorted(found)}


def shape(info: Any) -> str:
    """A type as one line: `{name: str, at?: datetime}`, `[item]`, `a | b`; `?` marks what may be left out."""
    if isinstance(info, inspect.Metadata):
        return shape(info.type)
    if isinstance(info, inspect.StructType):
        fields = [
            f"{field.encode_name}{'' if field.required else '?'}: {shape(field.type)}"
            for field in info.fields
        ]
        return "{" + ", ".join(fields) + "}"
    if isinstance(info, inspect.UnionType):
        return " | ".join(sorted(shape(choice) for choice in info.types))
    if isinstance(info, inspect.LiteralType):
        return " | ".join(sorted(repr(value) for value in info.values))
    if isinstance(info, inspect.DictType):
        return f"map({shape(info.key_type)}, {shape(info.value_type)})"
    if isinstance(info, inspect.TupleType):
        return "(" + ", ".join(shape(item) for item in info.item_types) + ")"
    if isinstance(info, inspect.VarTupleType | inspect.ListType | inspect.SetType | inspect.FrozenSetType):
        return f"[{shape(info.item_type)}]"
    return type(info).__name__.removesuffix("Type").lower()


def published_topics() -> dict[str, str]:
    found: dict[str, str] = json.loads(PUBLISHED.read_text()) if PUBLISHED.exists() else {}
    return found


def _older() -> set[str]:
    """Topics without a class, which upcasters read; their shapes stay published."""
    return set(importlib.import_module("application.event_store.upcasters").UPCASTERS)


def main() -> int:
    sys.path.insert(0, str(ROOT))
    if sys.argv[1:] == ["--write"]:
        shapes = {topic: shape for topic, shape in published_topics().items() if topic in _older()}
        PUBLISHED.write_text(json.dumps(shapes | current_topics(), indent=1, sort_keys=True) + "\n")
        return 0
    sys.stdout.write(json.dumps(current_topics(), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
