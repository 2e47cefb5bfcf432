"""The command as it is installed: packages of other projects, default settings, `--version`, `-h` and completion."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from interfaces.cli import COMMANDS
from tests.patience import START_S

ROOT = Path(__file__).resolve().parents[4]
START = "from interfaces.cli import main; main(prog_name='gridproof')"


def gridproof(
    *arguments: str, cwd: Path = ROOT, path: str = str(ROOT), **environ: str
) -> subprocess.CompletedProcess[str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("GRIDPROOF_")}
    return subprocess.run(
        [sys.executable, "-c", START, *arguments],
        cwd=cwd,
        env=bare | {"PYTHONPATH": path} | environ,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


@pytest.mark.parametrize("name", ["domain", "adapters"])
def test_a_package_of_another_project_with_our_name_is_refused(tmp_path: Path, name: str) -> None:
    other = tmp_path / name
    other.mkdir()
    (other / "__init__.py").write_text("raise SystemExit('it was imported')\n")

    refused = gridproof("doctor", cwd=tmp_path, path=f"{tmp_path}:{ROOT}")

    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"{name} ({other / '__init__.py'}) is of another package" in refused.stderr
    assert "pipx install" in refused.stderr
    assert "uv tool install" in refused.stderr
    assert "it was imported" not in refused.stderr


def test_the_version_is_printed_in_any_folder_whatever_the_settings_say(tmp_path: Path) -> None:
    folder = tmp_path / ".gridproof"
    folder.mkdir()
    (folder / "gridproof.env").write_text("nonsense")

    printed = gridproof("--version", cwd=tmp_path, GRIDPROOF_QUEUE_DEPTH="many")

    assert printed.returncode == 0
    assert printed.stdout.startswith("gridproof 0.")


@pytest.mark.parametrize("command", [[], ["up"], ["keys"], ["keys", "create"], ["simulate", "bms"]])
def test_h_is_help_for_every_command_whatever_the_settings_say(command: list[str], tmp_path: Path) -> None:
    refused = tmp_path / "gridproof.env"
    refused.write_text("nonsense")
    environ = {"GRIDPROOF_DATA_DIR": str(tmp_path), "GRIDPROOF_QUEUE_DEPTH": "many"}

    short, long = (gridproof(*command, option, cwd=tmp_path, **environ) for option in ("-h", "--help"))

    assert short.returncode == 0, short.stderr
    assert short.stdout == long.stdout
    assert short.stdout.startswith("Usage: gridproof")


def test_default_files_give_settings_and_refused_ones_say_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "config" / "gridproof" / "gridproof.env"
    file.parent.mkdir(parents=True)
    file.write_text(f"GRIDPROOF_DATA_DIR={tmp_path / 'named'}\n")
    file.chmod(0o600)
    config = {"XDG_CONFIG_HOME": str(tmp_path / "config")}

    used = gridproof("facilities", "list", cwd=tmp_path, **config)
    named = tmp_path / "other.env"
    named.write_text("")
    unused = gridproof("--env-file", str(named), "facilities", "list", cwd=tmp_path, **config)
    file.chmod(0o644)
    refused = gridproof("facilities", "list", cwd=tmp_path, **config)

    assert str(tmp_path / "named" / "addresses.json") in used.stderr
    assert "named" not in unused.stderr
    assert (refused.returncode, f"chmod 600 {file}" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("shell", "expected"), [("bash", "complete"), ("zsh", "compdef"), ("fish", "complete")]
)
def test_each_shell_gets_its_completion(shell: str, expected: str) -> None:
    script = gridproof(_GRIDPROOF_COMPLETE=f"{shell}_source")
    # bash is asked for its version, which is not everywhere
    assert expected in script.stdout or (shell == "bash" and "bash" in script.stderr)


def test_a_completion_names_the_commands_and_imports_none() -> None:
    completed = gridproof(_GRIDPROOF_COMPLETE="fish_complete", COMP_WORDS="gridproof d", COMP_CWORD="d")

    assert completed.returncode == 0, completed.stderr
    named = [line.partition(",")[2].split("\t")[0] for line in completed.stdout.splitlines() if line]
    assert named == [name for name in COMMANDS if name.startswith("d")]
