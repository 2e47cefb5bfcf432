"""The index of a Green Button feed's entries by link, compared with a linear search."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.readings_file.espi_catalogue import MAX_LINK, Catalogue, Entry, read_catalogue
from adapters.readings_file.espi_series import series_by_block
from application.ports.history_import import UnreadableFile

links = st.sampled_from(
    [
        "",
        "/",
        "a",
        "/a",
        "a/b",
        "a/b/MeterReading/1",
        "a/b/MeterReading/1/IntervalBlock",
        "b/IntervalBlock",
        "b",
    ]
)
entries = st.lists(
    st.builds(Entry, line=st.just(1), itself=links, up=links, related=st.lists(links, max_size=3)), max_size=4
)


def only(found: list[Entry]) -> Entry | None:
    return found[0] if len(found) == 1 else None


def first(found: list[Entry], everything: list[Entry]) -> Entry | None:
    return found[0] if found else only(everything)


@given(types=entries, points=entries, readings=entries, asked=links)
def test_the_index_resolves_every_link_as_a_linear_search_does(
    types: list[Entry], points: list[Entry], readings: list[Entry], asked: str
) -> None:
    catalogue = Catalogue({"ReadingType": types, "UsagePoint": points, "MeterReading": readings}, [])
    for reading in readings:
        found = [one for one in types if one.itself in reading.related]
        assert catalogue.reading_type_of(reading) is first(found, types)
        found = [p for p in points if reading.up in p.related or reading.itself.startswith(f"{p.itself}/")]
        assert catalogue.usage_point_of(reading) is first(found, points)
    found = [r for r in readings if asked in r.related or asked == f"{r.itself}/IntervalBlock"]
    assert catalogue.meter_reading_of(asked) is first(found, readings)


def test_a_feed_of_many_meter_readings_is_resolved_in_linear_time() -> None:
    """Each with its own usage point, type and blocks: a linear search for each would take many minutes."""
    many = range(30_000)
    catalogue = Catalogue(
        {
            "ReadingType": [Entry(1, itself=f"t/{n}", fields={"ReadingType/uom": "72"}) for n in many],
            "UsagePoint": [Entry(1, itself=f"p/{n}", title=f"fac-{n}") for n in many],
            "MeterReading": [Entry(1, itself=f"p/{n}/MeterReading/1", related=[f"t/{n}"]) for n in many],
        },
        [f"p/{n}/MeterReading/1/IntervalBlock" for n in many],
    )
    found = series_by_block(Path("feed.xml"), catalogue, None)
    assert [one.facility_id for one in found if one is not None] == [f"fac-{n}" for n in many]


def test_a_link_of_excessive_length_is_refused(tmp_path: Path) -> None:
    feed = tmp_path / "feed.xml"
    link = "a/" * MAX_LINK
    feed.write_text(
        f'<feed xmlns="http://www.w3.org/2005/Atom"><entry><link rel="self" href="{link}"/></entry></feed>'
    )
    with pytest.raises(UnreadableFile, match="a link of more than 1000 characters"):
        read_catalogue(feed)
