"""The page's files: served as they stand and nothing beside them, what is not ours as published, small in all."""

import re
from hashlib import sha256
from pathlib import Path

import pytest

from interfaces.web.api.dashboard import static_files
from interfaces.web.middleware.conditional import MIN_GZIP_BYTES
from tests.unit.interfaces.web.edge import Edge

STATIC = Path(__file__).parents[5] / "interfaces/web/static"
VENDOR = STATIC / "vendor"
MOST_BYTES = 200_000
MOST_BYTES_OF_A_VIEW = 60_000
MOST_LINES = 300
REPLACED = (b'from"./preact.mjs"', b'from"preact"')
OWN = sorted(
    file
    for file in STATIC.rglob("*")
    if file.suffix in {".js", ".css", ".html"} and VENDOR not in file.parents
)


def vendored() -> dict[str, list[str]]:
    """File -> package, version, licence, path in the package, hash, and the hash of the original if it was changed."""
    lines = (VENDOR / "VENDORED").read_text().splitlines()
    return {name: rest for name, *rest in (line.split() for line in lines if not line.startswith("#"))}


def test_everything_in_the_vendor_folder_is_accounted_for() -> None:
    present = {file.name for file in VENDOR.iterdir()} - {"VENDORED", "LICENSES.txt"}
    assert present == set(vendored())
    licences = (VENDOR / "LICENSES.txt").read_text()
    assert all(f"==== {package}" in licences for package, *_ in vendored().values())


@pytest.mark.parametrize("name", vendored())
def test_a_vendored_file_is_the_published_one(name: str) -> None:
    content, (_, _, _, _, digest, *original) = (VENDOR / name).read_bytes(), vendored()[name]
    assert sha256(content).hexdigest() == digest
    assert [sha256(content.replace(*REPLACED)).hexdigest()] == (original or [digest])


def test_the_whole_page_loads_in_less_than_200_kb_as_a_browser_asks_for_it() -> None:
    loaded = {}
    with Edge().client() as client:
        for name, file in static_files().items():
            with client.stream("GET", f"/static/{name}", headers={"Accept-Encoding": "gzip"}) as answer:
                is_packed = answer.headers.get("content-encoding") == "gzip"
                assert is_packed == (len(file.content) >= MIN_GZIP_BYTES)
                loaded[name] = sum(map(len, answer.iter_raw()))
    assert sum(loaded.values()) < MOST_BYTES, loaded


def loaded_with(name: str) -> set[str]:
    """The file and all that it imports, not only when it is needed, and what those import."""
    found: set[str] = set()
    waiting = [(STATIC / name).resolve()]
    while waiting:
        file = waiting.pop()
        path = str(file.relative_to(STATIC))
        if path not in found:
            found.add(path)
            named = re.findall(r"""(?:from|import) ?["'](\.{1,2}/[^"']+)["']""", file.read_text())
            waiting += [(file.parent / one).resolve() for one in named]
    return found


def loaded_at_first() -> set[str]:
    """What the browser asks for before the first view is shown."""
    named = re.findall(r'(?:src|href)="/static/([^"]+)"', (STATIC / "index.html").read_text())
    return {"index.html"}.union(*map(loaded_with, named))


def test_the_page_is_less_than_200_kb_without_any_compression() -> None:
    sizes = {name: len(static_files()[name].content) for name in loaded_at_first()}
    assert {"app.js", "views/portfolio.js", "vendor/uPlot.iife.min.js"} <= set(sizes)
    assert sum(sizes.values()) < MOST_BYTES, sizes


def test_a_view_that_is_looked_at_later_costs_little_more() -> None:
    at_first = loaded_at_first()
    later = re.findall(r'import\("\./(\w+\.js)"\)', (STATIC / "views/registry.js").read_text())
    assert len(later) == 4
    for view in later:
        more = loaded_with(f"views/{view}") - at_first
        assert f"views/{view}" in more
        assert sum(len(static_files()[name].content) for name in more) < MOST_BYTES_OF_A_VIEW, view


def test_every_file_that_the_page_names_is_there() -> None:
    for file in OWN:
        named = re.findall(r"""(?:from|import) ["'](\.{1,2}/[^"']+)["']""", file.read_text())
        missing = [name for name in named if not (file.parent / name).resolve().is_file()]
        assert missing == [], file
    named = re.findall(r'(?:src|href)="/static/([^"]+)"', (STATIC / "index.html").read_text())
    assert len(named) > 5
    assert set(named) <= set(static_files())


@pytest.mark.parametrize("file", OWN, ids=lambda file: str(file.relative_to(STATIC)))
def test_a_file_of_the_page_is_short_and_asks_nobody_else(file: Path) -> None:
    text = file.read_text()
    assert len(text.splitlines()) <= MOST_LINES
    assert re.findall(r"""["'(]https?://[^"')]*""", text.replace("http://www.w3.org/2000/svg", "")) == []


def test_the_page_has_no_script_or_style_in_line() -> None:
    page = (STATIC / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"<style|\son\w+=|\sstyle=", page) == []


def test_a_file_is_answered_with_the_policy_and_not_sent_again_while_it_is_the_same() -> None:
    with Edge().client() as client:
        first = client.get("/static/app.js")
        assert first.status_code == 200
        assert first.headers["content-type"].startswith("text/javascript")
        policy = first.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        tag = first.headers["etag"]
        assert tag.startswith('W/"')
        for said in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
            again = client.get("/static/app.js", headers={"If-None-Match": said})
            assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("accepted", "is_packed"), [("gzip", True), ("*", True), ("gzip;q=0", False), ("identity", False)]
)
def test_a_file_goes_out_packed_to_who_takes_that(accepted: str, is_packed: bool) -> None:
    with Edge().client() as client:
        answer = client.get("/static/app.js", headers={"Accept-Encoding": accepted})
        assert (answer.headers.get("content-encoding") == "gzip") == is_packed
        assert "Accept-Encoding" in answer.headers["vary"]
        assert answer.content == static_files()["app.js"].content


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/../dashboard.py",
        "/static/%2e%2e/dashboard.py",
        "/static/vendor/VENDORED",
        "/static/x.js",
    ],
)
def test_nothing_else_is_served(path: str) -> None:
    with Edge().client() as client:
        assert client.get(path).status_code == 404
