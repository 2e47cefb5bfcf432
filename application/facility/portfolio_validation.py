"""Validation of a portfolio file: reports every problem at once, each with its path."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import yaml

from application.facility.bms_networks import BmsAddressRefused, BmsNetworks
from application.facility.partial_portfolio import PartialPortfolio, readable_part
from application.facility.portfolio_document import DocumentInvalid, named_by_id, read_document
from application.facility.portfolio_entries import FacilityEntry, Portfolio, ZoneEntry
from application.facility.program_contract import enrolment_problems, program_problems, terms_of_entry
from application.facility.secret_references import (
    SecretNamespace,
    references_of_facility,
    references_of_utility,
)
from application.field_problems import wrong_fields
from domain.event_sourcing.decoders import converted
from domain.program import Terms

TEntry = TypeVar("TEntry")


class PortfolioInvalid(ValueError):
    """`problems` names every wrong field with its path."""

    def __init__(self, problems: Iterable[str], readable: PartialPortfolio | None = None) -> None:
        self.problems = tuple(problems)
        self.readable = readable
        """What could be read, where fields are wrong: its references can still be checked."""
        lines = (f"  - {problem}" for problem in self.problems)
        counted = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n".join([f"the portfolio has {counted}; to correct:", *lines]))


def read_portfolio(content: bytes, *, most_values: int | None = None) -> Portfolio:
    """Decode a portfolio from a YAML or JSON document. Raises PortfolioInvalid; references are not checked
    yet.

    `most_values`: of content that came from elsewhere. In YAML a few aliases stand for any number of values.
    """
    try:
        document, ids = read_document(content)
    except DocumentInvalid as error:
        raise PortfolioInvalid(error.problems) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PortfolioInvalid([f"it is neither YAML nor JSON: {' '.join(str(error).split())}"]) from error
    except RecursionError:
        raise PortfolioInvalid(["it is nested too deeply"]) from None
    if most_values is not None and not _has_at_most(most_values, document):
        raise PortfolioInvalid([f"it stands for over {most_values} values; split it"])
    problems = list(named_by_id(wrong_fields(document, Portfolio), ids))
    if problems:
        raise PortfolioInvalid(problems, readable_part(document))
    return converted(document, Portfolio)


def _has_at_most(most: int, document: Any) -> bool:
    """Counts what an alias stands for each time. It goes into the depth first, so that few values wait."""
    waiting, count = [document], 0
    while waiting and count <= most:
        count += 1
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return count <= most


class PortfolioRules(NamedTuple):
    """The references that the settings allow a portfolio."""

    secrets: SecretNamespace
    bms_networks: BmsNetworks


STRICTEST_RULES = PortfolioRules(SecretNamespace(folder="/nonexistent"), BmsNetworks.of(None))
"""No file, and no BMS on this machine."""


def check_references(
    portfolio: Portfolio,
    *,
    known_utilities: Collection[str],
    known_programs: Mapping[str, Terms | None],
    rules: PortfolioRules,
    unread: Collection[str] = (),
) -> None:
    """Check what no single field shows: duplicate ids, missing references, unknown time zones and methods, secrets
    and addresses that `rules` refuse.

    `known_*` were imported before, a program with its terms (None: unknown). Of the entries `unread` (paths) only the
    ids count. Raises PortfolioInvalid.
    """
    problems = list(_wrong_references(portfolio, set(known_utilities), known_programs, unread))
    problems.extend(_wrong_secrets(portfolio, rules.secrets))
    for path, facility in _read("facilities", portfolio.facilities, unread):
        problems.extend(_wrong_address(facility, f"{path}.bms.address", rules.bms_networks))
    if problems:
        ids = {
            **{f"utilities[{n}]": one.utility_id for n, one in enumerate(portfolio.utilities)},
            **{f"programs[{n}]": one.program_id for n, one in enumerate(portfolio.programs)},
            **{f"facilities[{n}]": one.facility_id for n, one in enumerate(portfolio.facilities)},
        }
        raise PortfolioInvalid(named_by_id(problems, ids))


def _read(name: str, entries: Sequence[TEntry], unread: Collection[str]) -> Iterator[tuple[str, TEntry]]:
    """The entries that could be read, with their paths."""
    for number, entry in enumerate(entries):
        path = f"{name}[{number}]"
        if path not in unread:
            yield path, entry


def _wrong_secrets(portfolio: Portfolio, namespace: SecretNamespace) -> Iterator[str]:
    entries = [
        *((f"utilities[{n}]", references_of_utility(one)) for n, one in enumerate(portfolio.utilities)),
        *((f"facilities[{n}]", references_of_facility(one)) for n, one in enumerate(portfolio.facilities)),
    ]
    for path, references in entries:
        for one in references:
            if (problem := namespace.problem(one.reference, one.purpose)) is not None:
                yield f"{path}.{one.field}: {problem}"


def _wrong_references(
    portfolio: Portfolio,
    utilities: set[str],
    known_programs: Mapping[str, Terms | None],
    unread: Collection[str],
) -> Iterator[str]:
    yield from _twice("utilities", (entry.utility_id for entry in portfolio.utilities))
    yield from _twice("programs", (entry.program_id for entry in portfolio.programs))
    yield from _twice("facilities", (entry.facility_id for entry in portfolio.facilities))
    utilities |= {entry.utility_id for entry in portfolio.utilities}
    stated: dict[str, Terms | None] = dict.fromkeys(entry.program_id for entry in portfolio.programs)
    programs = list(_read("programs", portfolio.programs, unread))
    stated.update({entry.program_id: terms_of_entry(entry) for _, entry in programs})
    for path, program in programs:
        if program.utility_id not in utilities:
            yield f"{path}.utility_id: there is no utility {program.utility_id}"
        yield from program_problems(program, path, portfolio.facilities)
    for path, facility in _read("facilities", portfolio.facilities, unread):
        yield from _wrong_facility(facility, path, {**known_programs, **stated})


def _wrong_facility(
    facility: FacilityEntry, path: str, programs: Mapping[str, Terms | None]
) -> Iterator[str]:
    yield from _twice(f"{path}.meters", (meter.meter_id for meter in facility.meters))
    yield from _twice(f"{path}.zones", (zone.zone_id for zone in facility.zones))
    yield from _twice(f"{path}.groups", facility.groups)
    yield from _twice(f"{path}.programs", (one.program_id for one in set(facility.enrolments)))
    yield from enrolment_problems(facility, path, programs)
    if (facility.latitude is None) != (facility.longitude is None):
        missing = "latitude" if facility.latitude is None else "longitude"
        yield f"{path}.{missing}: is missing; name both latitude and longitude, or neither"
    for number, zone in enumerate(facility.zones):
        yield from _wrong_zone(zone, f"{path}.zones[{number}]")
    if not _is_time_zone(facility.tz):
        known = {name.lower(): name for name in available_timezones()}
        near = get_close_matches(facility.tz.lower(), known, n=1)
        advice = f"; did you mean {known[near[0]]}?" if near else ", such as Europe/London"
        yield f"{path}.tz: {facility.tz} is no IANA time zone{advice}"


def _wrong_zone(zone: ZoneEntry, path: str) -> Iterator[str]:
    lower_c = zone.lower_comfort_limit_c
    if zone.max_magnitude == 0:
        yield f"{path}.max_magnitude: is 0, which changes nothing; below 0 lowers the setpoint of a heated zone"
    if zone.max_magnitude < 0 and zone.strategy == "shed_level":
        yield f"{path}.max_magnitude: a shed_level is above 0; only a setpoint_offset may be below"
    elif zone.max_magnitude < 0 and lower_c is None:
        yield f"{path}.lower_comfort_limit_c: is missing; the setpoint of a heated zone needs a lower limit"
    if lower_c is not None and lower_c >= zone.comfort_limit_c:
        yield f"{path}.lower_comfort_limit_c: is not below comfort_limit_c, {zone.comfort_limit_c:g}"


def _twice(path: str, ids: Iterable[str]) -> Iterator[str]:
    for entry_id, count in Counter(ids).items():
        if count > 1:
            yield f"{path}: {entry_id} stands there {count} times"


def _wrong_address(facility: FacilityEntry, path: str, networks: BmsNetworks) -> Iterator[str]:
    if not _is_http(facility.bms.address):
        yield f"{path}: is no http(s) address without a user name"
        return
    try:
        networks.check_url(facility.bms.address)
    except BmsAddressRefused as error:
        yield f"{path}: {error}"


def _is_time_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _is_http(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False
