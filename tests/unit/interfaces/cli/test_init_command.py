"""`gridproof init`: what it makes is private, fresh and valid, and it overwrites nothing."""

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from application.facility.portfolio_validation import check_references, read_portfolio
from interfaces.bootstrap import portfolio_rules
from interfaces.cli.init import ENV_FILE, PORTFOLIO, init
from interfaces.settings.settings import Settings, read_settings


def made(folder: Path, *options: str) -> Settings:
    ran = CliRunner().invoke(init, [str(folder), *options])
    assert ran.exit_code == 0, ran.output
    return read_settings({}, folder / ENV_FILE)


def secrets_in(folder: Path) -> set[str]:
    return {file.read_text() for file in (folder / "secrets").glob("*/*")}


def test_the_portfolio_passes_the_check_of_an_import_under_the_settings(tmp_path: Path) -> None:
    settings = made(tmp_path / "a new one")
    portfolio = read_portfolio((tmp_path / "a new one" / PORTFOLIO).read_bytes())
    check_references(portfolio, known_utilities=[], known_programs={}, rules=portfolio_rules(settings))
    assert [program.window for program in portfolio.programs] == [None]
    (utility,) = portfolio.utilities
    for reference in (utility.webhook_secret_ref, utility.callback_secret_ref):
        assert reference is not None
        assert len(Path(reference.removeprefix("file:")).read_text().strip()) == 64


def test_only_its_owner_may_read_anything(tmp_path: Path) -> None:
    made(tmp_path / "new")
    found = [tmp_path / "new", *(tmp_path / "new").rglob("*")]
    assert len(found) == 8
    assert [path for path in found if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_secrets_are_fresh(tmp_path: Path) -> None:
    made(tmp_path / "one")
    made(tmp_path / "other")
    assert len(secrets_in(tmp_path / "one") | secrets_in(tmp_path / "other")) == 4


@pytest.mark.parametrize("name", [ENV_FILE, "anything"])
def test_a_folder_with_something_in_it_stays_as_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    ran = CliRunner().invoke(init, [str(tmp_path)])
    assert ran.exit_code == 1
    assert "nothing is overwritten" in ran.output
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("name", ["it's", 'say "it"', "two\nlines"])
def test_a_path_that_the_settings_cannot_hold_is_refused(tmp_path: Path, name: str) -> None:
    ran = CliRunner().invoke(init, [str(tmp_path / name)])
    assert ran.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = CliRunner().invoke(init, [str(tmp_path / "file" / "below")])
    assert ran.exit_code == 1
    assert "cannot be made" in ran.output


def test_a_fast_clock_is_one_setting_for_all_processes(tmp_path: Path) -> None:
    assert made(tmp_path / "real").clock_speed is None
    settings = made(tmp_path / "fast", "--speed", "90", "--port", "9000")
    assert settings.clock_speed == 90
    assert settings.clock_epoch is not None
    assert settings.clock_started_at is not None
    assert (settings.http_bind, settings.weather_url) == ("127.0.0.1:9000", "http://127.0.0.1:9001")
    assert "127.0.0.1:9002/buildings" in (tmp_path / "fast" / PORTFOLIO).read_text()
