"""docs/guides/developer.md: the files that it names exist."""

import re

from tests.architecture.source_tree import PACKAGES, ROOT

GUIDE = (ROOT / "docs/guides/developer.md").read_text()
TASK = re.compile(r"^\| (\d+) \| (.+?) \| (.+) \|$", re.MULTILINE)
PATH = re.compile(r"`((?:{}|docs|tests)/[\w/.-]+)`( \(new\))?".format("|".join(PACKAGES)))


def tasks() -> dict[int, tuple[str, list[tuple[str, str]]]]:
    """Number -> the task and the paths that it touches, each with whether it is new."""
    return {int(number): (task, PATH.findall(touched)) for number, task, touched in TASK.findall(GUIDE)}


def test_the_fifteen_tasks_are_listed() -> None:
    assert list(tasks()) == list(range(1, 16))
    assert all(paths for _, paths in tasks().values())


def test_every_path_exists_unless_the_task_creates_it() -> None:
    lost = [
        path for _, paths in tasks().values() for path, new in paths if not new and not (ROOT / path).exists()
    ]
    created = [path for _, paths in tasks().values() for path, new in paths if new and (ROOT / path).exists()]
    assert (lost, created) == ([], [])


def test_every_path_of_the_recipes_exists() -> None:
    recipes = GUIDE.partition("## Recipes")[2]
    paths = [path for path, new in PATH.findall(recipes) if "<" not in path and not new]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists() and "bacnet" not in path] == []


def test_a_new_get_route_touches_three_files_of_the_packages() -> None:
    [(_, paths)] = [found for found in tasks().values() if "GET route" in found[0]]
    assert len([path for path, _ in paths if path.partition("/")[0] in PACKAGES]) == 3
