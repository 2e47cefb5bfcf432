"""Names of schemas in the OpenAPI document, independent of the names and places of our classes.

The framework names a schema after its class, and a list after class and module. Clients are generated from these names.
"""

from __future__ import annotations

import re
from typing import Any

_REFERENCE = "#/components/schemas/"
PUBLISHED = {
    "AlertDocument": "Alert",
    "AuditReplayDocument": "AuditDocument",
    "AuditStepDocument": "AuditTrailRow",
    "CallbackState": "CallbackRow",
    "CauseDocument": "Cause",
    "DREventDocument": "DREventRow",
    "FacilityDocument": "FacilityRow",
    "LatestDispatchDocument": "LatestDispatch",
    "MeasuredStepDocument": "MeasuredStep",
    "MeasurementDocument": "MeasurementRow",
    "OpenDeadLettersDocument": "OpenLetters",
    "PortfolioDocument": "PortfolioRow",
    "QueueDepthDocument": "QueueDepth",
    "Listing_AlertDocument_": "Listing_application.ports.alerts.Alert_",
    "Listing_CallbackDocument_": "Listing_interfaces.web.callback.CallbackDocument_",
    "Listing_DeadLetterDocument_": "Listing_interfaces.web.dead_letter.DeadLetterDocument_",
    "Listing_DispatchDocument_": "Listing_interfaces.web.dr_event.DispatchDocument_",
    "Listing_DREventDocument_": "Listing_projections.dr_event_row.DREventRow_",
    "Listing_FacilityDocument_": "Listing_projections.facilities.FacilityRow_",
    "Listing_ProjectionDocument_": "Listing_interfaces.web.projection.ProjectionDocument_",
}
"""Class -> the name under which it was first published; a new class needs no line here."""
_WORD = re.compile(r"\w+")
_LISTING = re.compile(r"Listing_(?:\w+\.)+(\w+)_")


def publish_schema_names(document: dict[str, Any]) -> None:
    """Rename the schemas of `document`, and what refers to them, in place."""
    schemas = document["components"]["schemas"]
    names = {name: _published(name) for name in schemas}
    renamed = {names[name]: schema for name, schema in schemas.items()}
    if len(renamed) < len(schemas):
        raise ValueError(f"two schemas have the same published name: {sorted(names.values())}")
    for schema in renamed.values():
        if "title" in schema:
            schema["title"] = _WORD.sub(lambda word: PUBLISHED.get(word[0], word[0]), schema["title"])
    document["components"]["schemas"] = {name: renamed[name] for name in sorted(renamed)}
    _rename_references(document, {_REFERENCE + name: _REFERENCE + new for name, new in names.items()})


def _published(name: str) -> str:
    """A list without the module of its items, so that a class can be moved."""
    name = _LISTING.sub(r"Listing_\1_", name)
    return PUBLISHED.get(name, name)


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
