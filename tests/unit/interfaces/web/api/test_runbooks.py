"""The runbook of each alert, served over HTTP."""

import pytest

from application.operations.alert_catalogue import ALERTS
from tests.unit.interfaces.web.edge import Edge


def test_every_alert_has_its_runbook_without_a_key() -> None:
    with Edge().client() as client:
        for alert in ALERTS:
            answer = client.get(f"/runbooks/{alert}")
            assert answer.status_code == 200, alert
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
            assert answer.text.startswith(f"# {alert}\n")


@pytest.mark.parametrize("name", ["unheard_of", "README", "..%2Fglossary", "%2E%2E"])
def test_only_runbooks_of_alerts_are_served(name: str) -> None:
    with Edge().client() as client:
        answer = client.get(f"/runbooks/{name}")
        assert answer.status_code == 404
        assert answer.json()["type"] == "/problems/not-found"
