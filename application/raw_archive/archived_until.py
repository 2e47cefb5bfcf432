"""The archived sequence of the telemetry log before a moment, so that the log can delete older messages."""

from collections import deque
from datetime import datetime

from application.ports.archive import Archive
from application.raw_archive.manifest import OURS, ManifestEntry, entry_name, entry_names, read_entry


class ArchivedAges:
    """The archive objects of one partition by age. The manifest is listed once; later entries are added, old
    ones removed."""

    def __init__(self, archive: Archive, log_id: str, partition: int) -> None:
        self._archive = archive
        self._of = (log_id, partition)
        self._names: deque[str] | None = None
        self._last_seq = 0

    def note(self, entry: ManifestEntry) -> None:
        """Add an entry that was made or found after all earlier ones."""
        if self._names is not None:
            self._names.append(entry_name(entry.object))

    def last_seq_before(self, moment: datetime) -> int:
        """The last sequence of the objects whose periods began before `moment`, which must not fall; 0
        without any.

        Raises ArchiveUnavailable, NotArchived or ArchiveContradicted.
        """
        names = self._names
        if names is None:
            names = self._names = deque(entry_names(self._archive, *self._of))
        old = None
        while names and _period(names[0]) < f"{moment:%Y%m%dT%H}":
            old = names.popleft()
        if old is not None:
            try:
                self._last_seq = read_entry(old, self._archive.get(old)).contents.last_seq
            except BaseException:
                names.appendleft(old)
                raise
        return self._last_seq


def _period(name: str) -> str:
    ours = OURS.fullmatch(name)
    return ours["period"] if ours else ""
