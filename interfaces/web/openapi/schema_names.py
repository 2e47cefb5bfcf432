"""Names of schemas in the OpenAPI document: those of our classes, independent of the modules that they stand in.

The framework names a schema after its class, and a list after class and module. Clients are generated from these names.
"""

from __future__ import annotations

import re
from typing import Any

_REFERENCE = "#/components/schemas/"
_LISTING = re.compile(r"Listing_(?:\w+\.)+(\w+)_")


def publish_schema_names(document: dict[str, Any]) -> None:
    """Rename the schemas of `document`, and what refers to them, in place. Raises ValueError if two get one name."""
    schemas = document["components"]["schemas"]
    names = {name: _LISTING.sub(r"Listing_\1_", name) for name in schemas}
    renamed = {names[name]: schema for name, schema in schemas.items()}
    if len(renamed) < len(schemas):
        raise ValueError(f"two schemas have the same published name: {sorted(names.values())}")
    document["components"]["schemas"] = {name: renamed[name] for name in sorted(renamed)}
    _rename_references(document, {_REFERENCE + name: _REFERENCE + new for name, new in names.items()})


def _rename_references(part: Any, names: dict[str, str]) -> None:
    if isinstance(part, dict):
        reference = part.get("$ref")
        if isinstance(reference, str):
            part["$ref"] = names.get(reference, reference)
        for value in part.values():
            _rename_references(value, names)
    elif isinstance(part, list):
        for value in part:
            _rename_references(value, names)
