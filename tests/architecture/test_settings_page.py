"""docs/guides/settings.md is what the code says of each setting."""

import dataclasses

import pytest

from interfaces.settings.description import setting_descriptions
from interfaces.settings.settings import PREFIX, Settings
from tests.architecture.settings_page import PAGE, settings_page

DESCRIPTIONS = {one.name: one for one in setting_descriptions()}


def test_the_page_is_that_of_the_code() -> None:
    """On failure: `python tests/architecture/settings_page.py --write`, and review the difference."""
    assert PAGE.read_text(encoding="utf-8") == settings_page()


@pytest.mark.parametrize("field", dataclasses.fields(Settings), ids=lambda field: field.name)
def test_every_setting_is_explained(field: "dataclasses.Field[object]") -> None:
    """On failure: write a docstring below the field."""
    described = DESCRIPTIONS[PREFIX + field.name.upper()]

    assert len(described.what) > 10
    assert "|" not in described.what + described.allowed
    assert described.what.endswith((".", "!"))


def test_the_values_are_those_that_the_parsers_take() -> None:
    assert DESCRIPTIONS["GRIDPROOF_LOG_DAYS"].allowed == "a whole number from 1 to 3650"
    assert DESCRIPTIONS["GRIDPROOF_LOG_LEVEL"].allowed == "one of: debug, info, warning, error"
    assert DESCRIPTIONS["GRIDPROOF_BMS_NETWORKS"].allowed == "networks as 10.20.0.0/16,192.0.2.7/32"
    assert DESCRIPTIONS["GRIDPROOF_HTTP_BIND"].default == "127.0.0.1:8080"
