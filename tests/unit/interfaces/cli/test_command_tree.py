"""Every command can be imported, has a help text with an example, and imports only the modules it needs."""

import json
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from application.operations.release import RELEASE
from interfaces.cli import COMMANDS, main
from tests.patience import START_S


def commands_below(
    command: click.Command, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands_below(found, (*path, name))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_text_with_an_example(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    for path, found in commands_below(command, (name,)):
        if isinstance(found, click.Group):
            continue  # the subcommands have the examples
        result = CliRunner().invoke(main, [*path, "--help"], catch_exceptions=False)
        assert result.exit_code == 0
        assert f"gridproof {' '.join(path)}" in result.output.partition("Options:")[2], path
        assert "Example" in result.output, path


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help_text(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    for path, found in commands_below(command, (name,)):
        assert found.help, path
        for parameter in found.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.help, (path, parameter.name)


def test_the_names_in_the_command_table_equal_the_names_of_the_commands() -> None:
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        assert command.name == name


def test_the_help_lists_every_command_with_its_purpose() -> None:
    output = CliRunner().invoke(main, ["--help"]).output

    for name, (_, short_help) in COMMANDS.items():
        assert any(line.split() == [name, *short_help.split()] for line in output.splitlines()), name


def loaded_after(*arguments: str) -> set[str]:
    """The modules that a process has imported when the command ends."""
    script = (
        "import json, sys\n"
        "from interfaces.cli import main\n"
        f"main({list(arguments)!r}, standalone_mode=False)\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=START_S, check=True
    )
    return set(json.loads(done.stderr))


def test_help_imports_no_domain_application_or_adapter_module() -> None:
    loaded = loaded_after("--help")

    ours = {name for name in loaded if name.partition(".")[0] in {"domain", "application", "adapters"}}
    assert not ours
    assert not loaded & {"eventsourcing", "msgspec", "psycopg", "litestar", "numpy", "rich", "nats"}


def test_the_worker_command_imports_no_module_of_other_commands() -> None:
    loaded = loaded_after("worker", "--help")

    assert not loaded & {
        "litestar",
        "statsmodels",
        "zeep",
        "pyarrow",
        "interfaces.demo",
        "interfaces.simulators",
    }


def test_an_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["demo2"])

    assert result.exit_code == 2


def test_an_unknown_worker_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["worker", "barista"])

    assert result.exit_code == 2
    assert "decide" in result.output


def test_the_version_is_printed() -> None:
    result = CliRunner().invoke(main, ["--version"])

    assert result.exit_code == 0
    assert result.output == f"gridproof {RELEASE}\n"
