"""The elements of an SVG picture, for statements and for the charts of commands."""

from collections.abc import Iterable
from html import escape


def shape(name: str, content: str | None = None, /, **attributes: object) -> str:
    """An element of SVG; `content` is SVG too, None where there is none.

    A name with a hyphen is given with `_` (`data_origin`), one that Python reserves with `_` behind it (`class_`). A
    float is written with one decimal.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"' for key, value in attributes.items()
    )
    return f"<{name}{written}/>" if content is None else f"<{name}{written}>{content}</{name}>"


def _value(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else escape(str(value))


def label(text: str, /, **attributes: object) -> str:
    """A text of the picture, which is escaped."""
    return shape("text", escape(text), **attributes)


def picture(width: int, height: int, parts: Iterable[str], /, **attributes: object) -> str:
    """The whole picture, in units of its own; `attributes` are further ones of its element."""
    return shape("svg", "".join(parts), viewBox=f"0 0 {width} {height}", **attributes)
