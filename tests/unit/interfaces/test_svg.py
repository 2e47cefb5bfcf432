"""Elements of SVG: names of attributes, numbers, and texts that stay texts."""

from interfaces.svg import label, picture, shape


def test_attributes_are_written_with_their_own_names_and_floats_with_one_decimal() -> None:
    written = shape("rect", class_="done", data_origin="step/1", x=3, y=2.25)
    assert written == '<rect class="done" data-origin="step/1" x="3" y="2.2"/>'


def test_a_text_and_the_values_of_attributes_are_escaped() -> None:
    assert label('<a> & "b"', class_='"><script>') == (
        '<text class="&quot;&gt;&lt;script&gt;">&lt;a&gt; &amp; &quot;b&quot;</text>'
    )


def test_a_picture_has_its_parts_in_order() -> None:
    parts = [shape("circle", r=1), shape("title", "of it")]
    assert picture(20, 10, parts, role="img") == (
        '<svg viewBox="0 0 20 10" role="img"><circle r="1"/><title>of it</title></svg>'
    )
