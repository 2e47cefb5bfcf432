"""Every `gridproof` command of every runbook exists, with its options."""

import shlex
from collections.abc import Iterator

import click
import pytest

from application.operations.alert_catalogue import ALERTS
from interfaces.cli import main
from tests.gameday.runbook import commands_of


def commands() -> Iterator[tuple[str, str]]:
    for alert in sorted(ALERTS):
        for command in commands_of(alert):
            yield alert, command


@pytest.mark.parametrize(("alert", "command"), list(commands()))
def test_a_command_of_a_runbook_exists_with_its_options(alert: str, command: str) -> None:
    words, context = shlex.split(command)[1:], click.Context(main)
    found: click.Command = main
    while words and isinstance(found, click.Group):
        word = words.pop(0)
        below = found.get_command(context, word)
        assert below is not None, f"{alert}: there is no {word} in {command}"
        found, context = below, click.Context(below, parent=context, info_name=word)
    given, left, _ = found.make_parser(context).parse_args(args=words)
    assert left == [], f"{alert}: {command} has too many words"
    missing = [one.name for one in found.params if one.required and given.get(str(one.name)) is None]
    assert missing == [], f"{alert}: {command} is not complete without {missing}"


def test_a_command_that_does_not_exist_is_refused() -> None:
    with pytest.raises(AssertionError, match="there is no lists"):
        test_a_command_of_a_runbook_exists_with_its_options("x", "gridproof alerts lists")
    with pytest.raises(AssertionError, match="not complete without"):
        test_a_command_of_a_runbook_exists_with_its_options("x", "gridproof telemetry history F")
    with pytest.raises(click.NoSuchOption):
        test_a_command_of_a_runbook_exists_with_its_options("x", "gridproof alerts list --newest")
