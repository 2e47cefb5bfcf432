"""An archive in memory."""

from application.ports.archive import AlreadyArchived, NotArchived


class FakeArchive:
    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def put_once(self, name: str, content: bytes) -> None:
        ours = bytes(bytearray(content))  # a separate object, so that two puts of the same bytes are distinct
        if self.files.setdefault(name, ours) is not ours:
            raise AlreadyArchived(f"{name} is in the archive already")

    def get(self, name: str) -> bytes:
        if name not in self.files:
            raise NotArchived(f"{name} is not in the archive")
        return self.files[name]

    def listed(self, prefix: str) -> list[str]:
        return sorted(name for name in self.files if name.startswith(f"{prefix.rstrip('/')}/"))
