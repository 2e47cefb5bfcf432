"""The settings of a command, completed from a running system in the same data folder."""

from dataclasses import replace
from pathlib import Path

from interfaces.bootstrap import resolve_addresses, save_addresses
from interfaces.settings.settings import Settings


def test_the_settings_of_the_running_system_are_not_hidden_by_defaults(tmp_path: Path) -> None:
    running = Settings(
        data_dir=tmp_path,
        database_url="postgresql://app@a/gridproof",
        weather_key="env:WEATHER_KEY",
        weather_quota_per_month=3_000_000,
    )
    save_addresses(running)
    assert resolve_addresses(Settings(data_dir=tmp_path)) == running
    mine = Settings(data_dir=tmp_path, weather_quota_per_month=5_000_000)
    assert resolve_addresses(mine) == replace(running, weather_quota_per_month=5_000_000)


def test_a_system_that_is_named_is_taken_as_it_is(tmp_path: Path) -> None:
    save_addresses(Settings(data_dir=tmp_path, database_url="postgresql://app@a/gridproof", log_json=True))
    named = Settings(data_dir=tmp_path, database_url="postgresql://app@b/gridproof")
    assert resolve_addresses(named) == named
