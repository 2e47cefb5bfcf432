"""The table of docs/guides/settings.md, made from the code:

python tests/architecture/settings_page.py --write
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guides" / "settings.md"
HEAD = "| setting | default | values | what it does |\n|---|---|---|---|\n"


def settings_page() -> str:
    """The whole page: what stands before the table now, and the table."""
    sys.path.insert(0, str(ROOT))
    from interfaces.settings.description import setting_descriptions

    rows = (
        f"| `{one.name}` | {'' if one.default is None else f'`{one.default}`'} | {one.allowed} | {one.what} |\n"
        for one in setting_descriptions()
    )
    before = PAGE.read_text(encoding="utf-8").partition(HEAD)[0]
    return before + HEAD + "".join(rows)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(settings_page(), encoding="utf-8")
    else:
        sys.stdout.write(settings_page())
