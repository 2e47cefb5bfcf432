"""The views of the page, for tests on a running demo."""

from typing import NamedTuple

from tests.chromium import Page
from tests.running_demo import RunningDemo

SIZES = {"narrow": (390, 844), "wide": (1440, 1100), "wall": (2560, 1440)}
THEMES = ("light", "dark")


MAIN = {"portfolio", "dr-event", "measurement", "facility", "audit", "operations"}
"""One view of each kind."""


class View(NamedTuple):
    name: str
    address: str
    shows: str
    """Text that is visible once the view is drawn."""


def views_of(demo: RunningDemo, facility: str) -> tuple[View, ...]:
    steps = demo.get(f"/api/audit/dr-events/{demo.dr_event}")["steps"]
    ended = next(step["position"] for step in steps if step["topic"] == "dr-event.ended.v1")
    return (
        View("portfolio", "#/portfolio", "Facilities by state"),
        View("dr-events", "#/dr-events", "UTIL-2026-0042"),
        View("dr-event", f"#/dr-events/{demo.dr_event}", "Told to the utility"),
        View("measurement", f"#/dr-events/{demo.dr_event}?facility={facility}", "Data digest"),
        View("facilities", "#/facilities", facility),
        View("facility", f"#/facilities/{facility}", "Zones"),
        View("audit-now", f"#/audit/{demo.dr_event}", "Every step"),
        View("audit", f"#/audit/{demo.dr_event}?as_of={ended}", "the window's start"),
        View("changes", "#/changes", "Every change"),
        View("operations", "#/operations", "Read models"),
    )


def settled_views_of(demo: RunningDemo) -> tuple[View, ...]:
    """What the DR event and its month are worth."""
    row = demo.get(f"/api/dr-events/{demo.dr_event}")
    month = f"#/programs/{row['program_id']}?period={row['starts_at'][:7]}"
    return (
        View("settlement", f"#/dr-events/{demo.dr_event}?revision=0", "Settlement intervals"),
        View("month", month, "By facility"),
    )


async def draw(page: Page, view: View) -> None:
    """Open the view and wait until it is completely drawn."""
    await page.go(view.address)
    await page.shows(view.shows, "main")
    await page.until("!document.querySelector('main .skeleton, main [aria-busy=true]')")


async def size(page: Page, name: str) -> None:
    width, height = SIZES[name]
    await page.size(width, height)
    # Wait for a frame, and for what ResizeObserver reports after it.
    await page.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
