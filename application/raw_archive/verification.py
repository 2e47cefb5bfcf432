"""Verification of the raw archive: every entry against the previous one, every object against its entry."""

from collections.abc import Callable, Sequence

import msgspec

from application.ports.archive import Archive, NotArchived
from application.raw_archive.manifest import (
    OURS,
    RAW,
    ArchiveContradicted,
    ManifestEntry,
    chains,
    digest,
    entries,
)
from application.raw_archive.object import BrokenObject, contents_of

OnProgress = Callable[[int, int], None]
"""(objects done, in total)"""


class ArchiveFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A violation."""

    where: str
    """The entry or object."""
    found: str


class VerifiedPartition(msgspec.Struct, frozen=True, kw_only=True):
    """The archived content of one partition of one log."""

    log_id: str
    partition: str
    objects: int
    messages: int
    readings: int
    malformed: int
    undecodable: int
    raw_bytes: int
    stored_bytes: int
    first_seq: int
    last_seq: int


class ArchiveReport(msgspec.Struct, frozen=True, kw_only=True):
    """The report. `verified` means that nothing was found."""

    verified: bool
    partitions: tuple[VerifiedPartition, ...]
    findings: tuple[ArchiveFinding, ...]
    not_entered: tuple[str, ...]
    """Objects without an entry: at most the newest of each partition, where its writer was killed."""


def verify_archive(archive: Archive, *, on_progress: OnProgress = lambda _done, _all: None) -> ArchiveReport:
    """Read and verify everything. Raises ArchiveUnavailable."""
    by_partition = chains(archive)
    of, done = sum(len(names) for names in by_partition.values()), 0
    partitions: list[VerifiedPartition] = []
    findings: list[ArchiveFinding] = []
    entered: set[str] = set()
    for (log_id, partition), names in by_partition.items():
        chain: list[ManifestEntry] = []
        previous: str | None = None
        try:
            for entry, its_digest in entries(archive, names):
                findings += _links(entry, chain[-1] if chain else None, previous)
                findings += _object(archive, entry)
                chain.append(entry)
                previous = its_digest
                entered.add(entry.object)
                done += 1
                on_progress(done, of)
        except (ArchiveContradicted, NotArchived) as error:
            findings.append(ArchiveFinding(where=f"manifest of {log_id}/{partition}", found=str(error)))
        if chain:
            partitions.append(_summed(log_id, partition, chain))
    not_entered = tuple(name for name in archive.listed(RAW) if name not in entered)
    findings += _passed_over(not_entered, partitions)
    return ArchiveReport(
        verified=not findings,
        partitions=tuple(partitions),
        findings=tuple(findings),
        not_entered=not_entered,
    )


def _passed_over(not_entered: Sequence[str], partitions: Sequence[VerifiedPartition]) -> list[ArchiveFinding]:
    """Only the newest object of a partition may lack an entry."""
    last_seqs = {(one.log_id, one.partition): one.last_seq for one in partitions}
    found = []
    for name in not_entered:
        ours = OURS.fullmatch(name)
        if ours is None:
            found.append(ArchiveFinding(where=name, found="it is no object of this archive"))
        elif int(ours["first"]) <= last_seqs.get((ours["log"], ours["partition"]), 0):
            found.append(ArchiveFinding(where=name, found="no entry names it"))
    return found


def _links(entry: ManifestEntry, before: ManifestEntry | None, previous: str | None) -> list[ArchiveFinding]:
    found = []
    if entry.previous != previous:
        found.append("it does not name the entry before it: one was changed or removed")
    if entry.number != (1 if before is None else before.number + 1):
        found.append(f"it is number {entry.number}: an entry before it is missing")
    if before is not None and entry.contents.first_seq <= before.contents.last_seq:
        found.append(f"it holds sequence {entry.contents.first_seq} a second time")
    return [ArchiveFinding(where=entry.object, found=one) for one in found]


def _object(archive: Archive, entry: ManifestEntry) -> list[ArchiveFinding]:
    try:
        content = archive.get(entry.object)
    except NotArchived as error:
        return [ArchiveFinding(where=entry.object, found=str(error))]
    if digest(content) != entry.sha256 or len(content) != entry.stored_bytes:
        return [ArchiveFinding(where=entry.object, found="it is not what was archived: its hash differs")]
    try:
        header, contents = contents_of(content)
    except BrokenObject as error:
        return [ArchiveFinding(where=entry.object, found=str(error))]
    if contents != entry.contents or (header.log_id, header.partition) != (entry.log_id, entry.partition):
        return [ArchiveFinding(where=entry.object, found="it holds something else than its entry says")]
    return []


def _summed(log_id: str, partition: str, chain: Sequence[ManifestEntry]) -> VerifiedPartition:
    contents = [entry.contents for entry in chain]
    return VerifiedPartition(
        log_id=log_id,
        partition=partition,
        objects=len(chain),
        messages=sum(one.messages for one in contents),
        readings=sum(one.readings for one in contents),
        malformed=sum(one.malformed for one in contents),
        undecodable=sum(one.undecodable for one in contents),
        raw_bytes=sum(one.raw_bytes for one in contents),
        stored_bytes=sum(entry.stored_bytes for entry in chain),
        first_seq=contents[0].first_seq,
        last_seq=contents[-1].last_seq,
    )
