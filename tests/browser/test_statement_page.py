"""The printable statement in a browser: accessible in both themes, wide and narrow, and whole pages on paper."""

import asyncio
import base64
import re
from collections.abc import Callable
from pathlib import Path

from application.settlement.resettled import resettled_document
from interfaces.settlement.statement.event_page import statement_html
from interfaces.settlement.statement.month_page import month_html
from tests.browser.views import THEMES
from tests.chromium import Page, opened_page
from tests.settlement_cases import ended_event, facility, steps_of
from tests.settlement_documents import V1_RULE, document_of

WIDTHS = (1100, 390)
PAPERS = {"a4": (8.27, 11.69), "letter": (8.5, 11.0)}
MOST_PAGES = 4


def write_pages(folder: Path) -> list[str]:
    dr_event = ended_event(facility("fac-001"), facility("fac-002", "50"), hours=2)
    first, second = (
        document_of(V1_RULE, dr_event, {"fac-001": steps_of("400", kw), "fac-002": steps_of("460", None)})
        for kw in ("420", "410")
    )
    revised = resettled_document(first, second)
    assert revised is not None
    pages = {
        "utility": statement_html(revised),
        "facility": statement_html(revised, facility="fac-002"),
        "month": month_html("2026-07", [revised], []),
    }
    for name, written in pages.items():
        (folder / f"{name}.html").write_text(written)
    return list(pages)


async def printed_pages(page: Page, paper: str) -> int:
    width, height = PAPERS[paper]
    printed = await page.call("Page.printToPDF", paperWidth=width, paperHeight=height)
    return len(re.findall(rb"/Type\s*/Page[^s]", base64.b64decode(printed["data"])))


def test_a_statement_is_accessible_and_prints_on_both_papers(
    tmp_path: Path, debian_command: Callable[[str], Path]
) -> None:
    names = write_pages(tmp_path)
    (tmp_path / "browser").mkdir()

    async def scenario() -> None:
        chromium, first = debian_command("chromium"), f"{tmp_path.as_uri()}/{names[0]}.html"
        async with opened_page(chromium, tmp_path / "browser", first) as page:
            for name in names:
                await page.call("Page.navigate", url=f"{tmp_path.as_uri()}/{name}.html")
                await page.until(
                    f"document.readyState === 'complete' && location.href.includes('/{name}.html')"
                )
                for theme in THEMES:
                    await page.prefers(theme)
                    for width in WIDTHS:
                        await page.size(width, 900)
                        assert await page.axe_findings() == [], (name, theme, width)
                        assert await page.value("document.body.scrollWidth <= innerWidth"), (name, width)
                for paper in PAPERS:
                    assert 1 <= await printed_pages(page, paper) <= MOST_PAGES, (name, paper)

    asyncio.run(scenario())
