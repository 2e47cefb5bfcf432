"""The settings of a command, completed from a running system in the same data folder."""

from dataclasses import replace
from pathlib import Path

from interfaces.bootstrap import resolve_addresses, save_addresses
from interfaces.settings.settings import Settings


def test_defaults_do_not_override_the_settings_of_the_running_system(tmp_path: Path) -> None:
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


def test_explicit_settings_of_another_system_are_not_completed(tmp_path: Path) -> None:
    save_addresses(Settings(data_dir=tmp_path, database_url="postgresql://app@a/gridproof", log_json=True))
    named = Settings(data_dir=tmp_path, database_url="postgresql://app@b/gridproof")
    assert resolve_addresses(named) == named
