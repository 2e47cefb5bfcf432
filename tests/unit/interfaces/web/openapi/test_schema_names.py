"""Schemas of the OpenAPI document have the names of their classes, and no name of a module."""

from typing import Any

import pytest

from interfaces.web.openapi.schema_names import publish_schema_names
from tests.unit.interfaces.web.edge import Edge


@pytest.fixture(scope="module")
def document() -> Any:
    with Edge().client() as client:
        return client.get("/schema/openapi.json").json()


def test_a_schema_has_the_name_of_its_class_without_a_module(document: Any) -> None:
    schemas = set(document["components"]["schemas"])
    assert {"DREventDocument", "Listing_DREventDocument_"} <= schemas
    assert [name for name in schemas if "." in name] == []


def references_in(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*map(references_in, part.values()))
    return set().union(*map(references_in, part)) if isinstance(part, list) else set()


def test_every_reference_resolves_to_a_schema(document: Any) -> None:
    names = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references_in(document) <= names


def test_the_schema_name_of_a_list_does_not_depend_on_the_module_of_its_class() -> None:
    listing = {"type": "object", "title": "Listing[ZoneDocument]"}
    content = {"schema": {"$ref": "#/components/schemas/Listing_interfaces.web.api.zone.ZoneDocument_"}}
    document = {
        "paths": {"/api/zones": content},
        "components": {"schemas": {"Listing_interfaces.web.api.zone.ZoneDocument_": listing}},
    }
    publish_schema_names(document)
    assert document["components"]["schemas"] == {"Listing_ZoneDocument_": listing}
    assert content["schema"]["$ref"] == "#/components/schemas/Listing_ZoneDocument_"


def test_two_schemas_with_the_same_published_name_are_refused() -> None:
    schemas: dict[str, Any] = {"Listing_one.ZoneDocument_": {}, "Listing_other.ZoneDocument_": {}}
    with pytest.raises(ValueError, match="same published name"):
        publish_schema_names({"components": {"schemas": schemas}})
