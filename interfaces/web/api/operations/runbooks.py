"""Route of the runbooks: what an alert means and what to do."""

from functools import cache
from importlib.resources import files
from pathlib import Path

from litestar import Controller, get
from litestar.params import FromPath

from application.operations.alert_catalogue import ALERTS
from interfaces.web.problems import Problem
from interfaces.web.route_policy import ANYONE, RoutePolicy

INSTALLED = "runbooks"
"""Their folder in an installed wheel; in a source tree they are in docs/."""
SOURCE = Path(__file__).parents[4] / "docs" / "runbooks"
MEDIA_TYPE = "text/plain"


@cache
def runbook(alert: str) -> str:
    """The page of an alert, as Markdown. Raises Problem (404)."""
    if alert not in ALERTS:
        raise Problem("not-found", "no alert has that name; the names are those of GET /api/alerts")
    installed = files("interfaces.web").joinpath(INSTALLED, f"{alert}.md")
    return installed.read_text() if installed.is_file() else (SOURCE / f"{alert}.md").read_text()


class RunbookController(Controller):
    path = "/runbooks"
    tags = ("platform",)

    @get(
        "/{alert:str}",
        summary="The runbook of an alert, as Markdown",
        media_type=MEDIA_TYPE,
        sync_to_thread=False,
        policy=RoutePolicy(roles=ANYONE),
    )
    def runbook(self, alert: FromPath[str]) -> str:
        return runbook(alert)
