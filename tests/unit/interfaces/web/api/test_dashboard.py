"""The files of the page: which files are served, third-party files as published, and size limits."""

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
    """File -> package, version, licence, path in the package, hash, and hash of the original of a changed file."""
    lines = (VENDOR / "VENDORED").read_text().splitlines()
    return {name: rest for name, *rest in (line.split() for line in lines if not line.startswith("#"))}


def test_every_file_of_the_vendor_folder_is_listed_with_its_licence() -> None:
    present = {file.name for file in VENDOR.iterdir()} - {"VENDORED", "LICENSES.txt"}
    assert present == set(vendored())
    licences = (VENDOR / "LICENSES.txt").read_text()
    assert all(f"==== {package}" in licences for package, *_ in vendored().values())


@pytest.mark.parametrize("name", vendored())
def test_a_vendored_file_equals_the_published_one(name: str) -> None:
    content, (_, _, _, _, digest, *original) = (VENDOR / name).read_bytes(), vendored()[name]
    assert sha256(content).hexdigest() == digest
    assert [sha256(content.replace(*REPLACED)).hexdigest()] == (original or [digest])


def test_all_files_of_the_page_take_less_than_200_kb_compressed() -> None:
    loaded = {}
    with Edge().client() as client:
        for name, file in static_files().items():
            with client.stream("GET", f"/static/{name}", headers={"Accept-Encoding": "gzip"}) as answer:
                is_packed = answer.headers.get("content-encoding") == "gzip"
                assert is_packed == (len(file.content) >= MIN_GZIP_BYTES)
                loaded[name] = sum(map(len, answer.iter_raw()))
    assert sum(loaded.values()) < MOST_BYTES, loaded


def loaded_with(name: str) -> set[str]:
    """The file and its static imports, recursively."""
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
    """The files that the browser loads before it shows the first view."""
    named = re.findall(r'(?:src|href)="/static/([^"]+)"', (STATIC / "index.html").read_text())
    return {"index.html"}.union(*map(loaded_with, named))


def test_the_first_view_takes_less_than_200_kb_without_compression() -> None:
    sizes = {name: len(static_files()[name].content) for name in loaded_at_first()}
    assert {"app.js", "views/portfolio.js", "vendor/uPlot.iife.min.js"} <= set(sizes)
    assert sum(sizes.values()) < MOST_BYTES, sizes


def test_each_view_loaded_later_adds_less_than_its_size_limit() -> None:
    at_first = loaded_at_first()
    later = []
    for name in ("views/registry", "views/dr_event_parts", "components/chart"):
        named = re.findall(r'import\("\./([\w/]+\.js)"\)', (STATIC / f"{name}.js").read_text())
        later += [f"{name.partition('/')[0]}/{one}" for one in named]
    assert len(later) == 11
    for view in later:
        more = loaded_with(view) - at_first
        assert view in more
        assert sum(len(static_files()[name].content) for name in more) < MOST_BYTES_OF_A_VIEW, view


def test_every_file_that_the_page_references_exists() -> None:
    for file in OWN:
        named = re.findall(r"""(?:from|import) ["'](\.{1,2}/[^"']+)["']""", file.read_text())
        missing = [name for name in named if not (file.parent / name).resolve().is_file()]
        assert missing == [], file
    named = re.findall(r'(?:src|href)="/static/([^"]+)"', (STATIC / "index.html").read_text())
    assert len(named) > 5
    assert set(named) <= set(static_files())


@pytest.mark.parametrize("file", OWN, ids=lambda file: str(file.relative_to(STATIC)))
def test_a_file_of_the_page_is_short_and_references_no_other_host(file: Path) -> None:
    text = file.read_text()
    assert len(text.splitlines()) <= MOST_LINES
    assert re.findall(r"""["'(]https?://[^"')]*""", text.replace("http://www.w3.org/2000/svg", "")) == []


def test_the_page_has_no_inline_script_or_style() -> None:
    page = (STATIC / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"<style|\son\w+=|\sstyle=", page) == []


def test_a_file_has_a_content_security_policy_and_an_unchanged_file_gives_304() -> None:
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
def test_a_file_is_compressed_if_the_client_accepts_gzip(accepted: str, is_packed: bool) -> None:
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
def test_other_paths_below_static_give_404(path: str) -> None:
    with Edge().client() as client:
        assert client.get(path).status_code == 404
