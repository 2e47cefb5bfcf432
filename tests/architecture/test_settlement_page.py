"""The guide to settlements lists the commands with their options, and the API guide why a month is provisional."""

import re
from collections.abc import Iterator
from typing import get_args

import click

from application.settlement.period_statement import ProvisionalReason
from interfaces.cli.settlement.commands import settlement_group
from tests.architecture.source_tree import ROOT

PAGE = (ROOT / "docs/guides/settlement.md").read_text()
API = (ROOT / "docs/guides/api.md").read_text()
ROW = re.compile(r"^\| `(settlement [^`]+)` \| ([^|]*) \|", re.MULTILINE)


def commands(group: click.Group, path: str) -> Iterator[tuple[str, set[str]]]:
    for name, command in group.commands.items():
        here = f"{path} {name}"
        if isinstance(command, click.Group):
            yield from commands(command, here)
        else:
            options = [one for one in command.params if isinstance(one, click.Option)]
            yield here, {name for one in options for name in one.opts}


def test_the_page_has_each_command_with_its_options() -> None:
    written = {
        re.sub(r" \[?[A-Z]+\]?$", "", command): set(re.findall(r"`(--[a-z-]+)`", options))
        for command, options in ROW.findall(PAGE)
    }
    assert written == dict(commands(settlement_group, "settlement"))


def test_the_page_says_until_when_a_month_is_provisional() -> None:
    section = API.partition("## Settlements")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(get_args(ProvisionalReason))
