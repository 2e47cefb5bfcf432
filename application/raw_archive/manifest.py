"""The manifest of the raw archive: an entry for each object, in order by partition, each with the hash of the
one before.

Names depend only on facts that are certain before anything is written, so of several writers one writes and
the others find its file: `telemetry/raw/<log>/<partition>/<first sequence>-<period>.gz`, and the same under
`telemetry/manifest/` in .json.
"""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from hashlib import sha256

import msgspec

from application.ports.archive import Archive
from application.raw_archive.object import Contents
from domain.event_sourcing.decoders import json_decoder
from domain.telemetry.meter_reading import MALFORMED, PARTITIONS

FORMAT = 1
RAW, MANIFEST = "telemetry/raw", "telemetry/manifest"
PARTITION_NAMES = {p: "malformed" if p == MALFORMED else f"p{p}" for p in (*range(PARTITIONS), MALFORMED)}
OURS = re.compile(
    r"telemetry/(raw|manifest)/(?P<log>[^/]+)/(?P<partition>p\d+|malformed)/"
    r"(?P<first>\d{20})-(?P<period>\d{8}T\d\d)\.(gz|json)"
)
"""The name of an object or entry."""
_READERS = 16
_AT_ONCE = 256


class ArchiveContradicted(Exception):
    """The archive holds something unexpected. Nothing is written until a person has examined it."""


class ManifestEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An object and its content."""

    format: int = FORMAT
    log_id: str
    partition: int
    number: int
    """The number of the entry in its partition of its log, from 1."""
    object: str
    sha256: str
    """Of the object as stored, hexadecimal."""
    stored_bytes: int
    previous: str | None
    """SHA-256 of the previous entry as stored; None in the first."""
    contents: Contents


_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = json_decoder(ManifestEntry).decode


def stem(first_seq: int, period: datetime) -> str:
    return f"{first_seq:020d}-{period:%Y%m%dT%H}"


def object_name(log_id: str, partition: int, first_seq: int, period: datetime) -> str:
    return f"{RAW}/{log_id}/{PARTITION_NAMES[partition]}/{stem(first_seq, period)}.gz"


def entry_name(object_: str) -> str:
    """The name of the entry for that object."""
    return f"{MANIFEST}{object_.removeprefix(RAW).removesuffix('.gz')}.json"


def written(entry: ManifestEntry) -> bytes:
    return _encode(entry)


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def read_entry(name: str, content: bytes) -> ManifestEntry:
    """Raises ArchiveContradicted."""
    try:
        entry = _decode(content)
    except (msgspec.DecodeError, ValueError) as error:
        raise ArchiveContradicted(f"{name} is no entry of the manifest: {error}") from error
    if entry.format != FORMAT or entry_name(entry.object) != name:
        raise ArchiveContradicted(f"{name} has another format or describes {entry.object}")
    return entry


def entry_names(archive: Archive, log_id: str, partition: int) -> list[str]:
    """The names of the entries in order; foreign files are left out. Raises ArchiveUnavailable."""
    folder = f"{MANIFEST}/{log_id}/{PARTITION_NAMES[partition]}"
    return [name for name in archive.listed(folder) if OURS.fullmatch(name)]


def newest_entry(archive: Archive, log_id: str, partition: int) -> tuple[ManifestEntry, str] | None:
    """The newest entry with its digest; None where nothing is archived. Raises ArchiveUnavailable or
    ArchiveContradicted."""
    names = entry_names(archive, log_id, partition)
    if not names:
        return None
    content = archive.get(names[-1])
    return read_entry(names[-1], content), digest(content)


def not_entered(archive: Archive, log_id: str, partition: int, position: int) -> dict[int, str]:
    """Objects after the last entry, by first sequence: their writer was killed before the entry. Raises
    ArchiveUnavailable."""
    names = map(OURS.fullmatch, archive.listed(f"{RAW}/{log_id}/{PARTITION_NAMES[partition]}"))
    return {int(ours["first"]): ours[0] for ours in names if ours and int(ours["first"]) > position}


def chains(archive: Archive) -> dict[tuple[str, str], list[str]]:
    """The names of all entries by (log, partition's name), each in order; foreign files are left out.

    Raises ArchiveUnavailable.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for name in archive.listed(MANIFEST):
        if ours := OURS.fullmatch(name):
            found.setdefault((ours["log"], ours["partition"]), []).append(name)
    return found


def entries(archive: Archive, names: Sequence[str]) -> Iterator[tuple[ManifestEntry, str]]:
    """Each entry with its digest, in the order of `names`; reads several at once.

    Raises ArchiveUnavailable, NotArchived or ArchiveContradicted.
    """
    with ThreadPoolExecutor(_READERS) as readers:
        for first in range(0, len(names), _AT_ONCE):
            some = names[first : first + _AT_ONCE]
            for name, content in zip(some, readers.map(archive.get, some), strict=True):
                yield read_entry(name, content), digest(content)
