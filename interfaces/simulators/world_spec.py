"""The specification and the addresses of a simulated world: the files of `gridproof simulate world`."""

import os
from datetime import datetime
from pathlib import Path

import msgspec

from application.facility.portfolio_entries import Portfolio
from domain.event_sourcing.decoders import converted, json_decoder
from interfaces.simulators.bms.faults import FaultOrder
from interfaces.simulators.meters.meters import Silence
from interfaces.simulators.utility import UtilityFaults
from interfaces.simulators.weather.service import WeatherFaults

ADDRESSES_FILE = "world.json"


class ClockSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The clock that all processes share: it reads `epoch` at the wall-clock time `started_at` and runs at `speed`."""

    epoch: datetime
    started_at: datetime
    speed: float


class WorldSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The world to run; a JSON file. Paths are relative to the working directory."""

    portfolio: str
    directory: str
    """Takes the journals and, once all answers, `world.json`."""
    clock: ClockSpec | None = None
    """None: the machine's own."""
    mqtt_url: str | None = None
    """None: no meters."""
    mqtt_client_id: str = "gridproof-world"
    bms_bind: str = "127.0.0.1:0"
    utility_bind: str = "127.0.0.1:0"
    weather_bind: str = "127.0.0.1:0"
    faults: tuple[FaultOrder, ...] = ()
    shed_factor: float = 1.0
    """Scales what every zone sheds."""
    meter_cadence_s: float = 15.0
    silent_meters: tuple[str, ...] = ()
    """Facilities that publish nothing."""
    silences: tuple[Silence, ...] = ()
    """Facilities that publish nothing for a while."""
    all_meters_silent: bool = False
    readings: str | None = None
    """Real load instead of the model, for every facility of the portfolio."""
    readings_end_at: datetime | None = None
    """The moment that the recordings must reach; they are moved by whole weeks. Needed with `readings`."""
    callback_secret_ref: str | None = None
    """None: the one of the portfolio's first utility."""
    utility: UtilityFaults = UtilityFaults()
    weather: WeatherFaults = WeatherFaults()


class WorldAddresses(msgspec.Struct, frozen=True, kw_only=True):
    """`world.json`: the addresses of all parts."""

    pid: int
    bms_url: str
    utility_url: str
    weather_url: str
    callback_url: str
    bms_journal: str
    callback_journal: str


class InvalidWorld(ValueError):
    """The specification cannot be run; the text says what to change."""


def read_world_spec(path: Path) -> WorldSpec:
    """Raises InvalidWorld."""
    try:
        return json_decoder(WorldSpec).decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidWorld(f"{path}: {error}") from error


def read_portfolio(path: Path) -> Portfolio:
    """YAML or JSON. Raises InvalidWorld."""
    try:
        return converted(msgspec.yaml.decode(path.read_bytes()), Portfolio)
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidWorld(f"{path}: {error}") from error


def write_addresses(directory: Path, addresses: WorldAddresses) -> None:
    """Write `world.json` atomically."""
    unfinished = directory / f".world.{os.getpid()}.json"
    unfinished.write_bytes(msgspec.json.encode(addresses))
    unfinished.replace(directory / ADDRESSES_FILE)


def read_addresses(directory: Path) -> WorldAddresses | None:
    """Read `world.json`; None until the world is ready."""
    path = directory / ADDRESSES_FILE
    return json_decoder(WorldAddresses).decode(path.read_bytes()) if path.exists() else None
