"""/schema: a page for who prefers HTML, the document for everybody else."""

import re
from typing import Any

import pytest

from interfaces.web.api.dashboard import POLICY, static_files
from tests.unit.interfaces.web.edge import Edge

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def schema(accept: str | None, path: str = "/schema") -> Any:
    with Edge().client() as client:
        return client.get(path, headers={} if accept is None else {"Accept": accept})


@pytest.mark.parametrize("path", ["/schema", "/schema/"])
def test_a_browser_gets_the_page_under_the_policy_of_the_dashboard(path: str) -> None:
    answer = schema(BROWSER, path)
    assert answer.status_code == 200
    assert answer.content == static_files()["schema.html"].content
    assert answer.headers["content-security-policy"] == POLICY
    assert {"Accept", "Accept-Encoding"} <= {name.strip() for name in answer.headers["vary"].split(",")}


@pytest.mark.parametrize(
    ("accept", "path"),
    [
        (None, "/schema"),
        ("*/*", "/schema"),
        ("application/json", "/schema"),
        ("application/json, text/html;q=0.5", "/schema"),
        (BROWSER, "/schema/openapi.json"),
    ],
)
def test_others_get_the_document(accept: str | None, path: str) -> None:
    assert schema(accept, path).json()["openapi"].startswith("3.1")


def test_the_page_has_no_inline_script_or_style_and_names_files_that_exist() -> None:
    page = static_files()["schema.html"].content.decode()
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"<style|\son\w+=|\sstyle=", page) == []
    named = re.findall(r'(?:src|href)="/static/([^"]+)"', page)
    assert len(named) > 5
    assert set(named) <= set(static_files())
