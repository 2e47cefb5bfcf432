"""Check that migrations follow the expand-and-contract rule, since two releases use one schema during an
upgrade.

An expanding migration removes nothing that an older release needs. A contracting one names in its first line
the release from which on nothing needs it (docs/adr). Files from before the rule have no such line and count
as expanding.
"""

import re
from collections.abc import Iterator, Sequence

import msgspec

from adapters.postgres.schema import migrate
from adapters.postgres.schema.migrate import Kind, label_of

LABELLED_FROM = 6
"""From this number on every file has the label in its first line."""
_DO_BLOCK = re.compile(r"\bDO\s+(\$\w*\$)(.*?)\1", re.DOTALL | re.IGNORECASE)
_TEXT = re.compile(r"'(?:[^']|'')*'")
_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


class SchemaCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Result of `gridproof migrate --check`."""

    pending: list[str]
    kinds: dict[str, Kind]
    """Kind of each pending migration; one without a label counts as expanding."""
    problems: list[str]
    """Problems of the files and of the applied migrations."""
    needs: dict[str, str]
    """Pending contracting migration -> the release that every process must have before it is applied."""
    ahead: list[str]
    """Applied by a newer release, which is normal during an upgrade."""

    older_processes: list[str]
    """Connected, and older than what a pending contracting migration needs: it would be refused."""
    is_empty: bool
    """No migration was ever applied, so no release can be running."""

    @property
    def is_clean(self) -> bool:
        return not self.pending and not self.problems

    @property
    def only_contracting(self) -> bool:
        """Does this release have all that it needs? The pending migrations wait until older releases are
        gone."""
        return not self.problems and not self.is_empty and set(self.kinds.values()) <= {"contract"}


def check_schema(owner_dsn: str) -> SchemaCheck:
    """Check the files and compare them with the database, without changing it. Raises MigrationError."""
    files = migrate.migration_files()
    applied = migrate.applied_digests(owner_dsn)
    pending = [name for name, _ in files if name not in applied]
    seen = migrate.connected_processes(owner_dsn) if applied else []
    newest = max((name for name, _ in files if name in applied), default="")
    labels = {name: label_of(sql) for name, sql in files}
    needs = {
        name: label.needs_release
        for name in pending
        if (label := labels[name]) is not None and label.needs_release is not None
    }
    return SchemaCheck(
        pending=pending,
        kinds={name: label.kind if (label := labels[name]) else "expand" for name in pending},
        problems=[
            *file_problems(files),
            *(
                f"{name}: was changed after it was applied; add a new one instead"
                for name, sql in files
                if applied.get(name, migrate.digest_of(sql)) != migrate.digest_of(sql)
            ),
            *(
                f"{name}: comes before {newest}, which is applied already"
                for name in pending
                if name < newest
            ),
        ],
        needs=needs,
        older_processes=[str(one) for one in seen if any(map(one.is_older_than, needs.values()))],
        ahead=sorted(applied.keys() - labels.keys()),
        is_empty=not applied,
    )


def file_problems(files: Sequence[tuple[str, str]]) -> list[str]:
    """Problems of the migrations (name, SQL), in order."""
    problems: list[str] = []
    for number, (name, sql) in enumerate(files, start=1):
        match = _NAME.fullmatch(name)
        if match is None or int(match[1]) != number:
            problems.append(
                f"{name}: the files are numbered without a gap, so this one is {number:04}_<what>.sql"
            )
        label = label_of(sql)
        if label is None and number >= LABELLED_FROM:
            problems.append(f"{name}: its first line must be `-- expand` or `-- contract: needs release X.Y`")
        if label is None or label.kind == "expand":
            problems += [
                f"{name}: {problem}; that is for a contracting migration" for problem in taken_away(sql)
            ]
    return problems


def taken_away(sql: str) -> Iterator[str]:
    """The objects that an older release would miss, or be refused, after these statements."""
    statements = [" ".join(statement.split()) for statement in _code(sql).split(";")]
    new = {match[1].lower() for statement in statements if (match := _CREATED.match(statement))}
    for statement in statements:
        altered = _ALTERED.match(statement)
        if altered is not None and altered[1].lower() in new:
            continue  # older releases do not use this table
        for pattern, what in _DESTRUCTIVE:
            match = pattern.search(statement)
            if match is not None and match.groupdict().get("on", "").lower() not in new:
                yield f"`{statement[:60]}` {what}"
                break


def _code(sql: str) -> str:
    """The SQL without comments, texts and function bodies. A DO block is executed, so it is kept, with the
    texts that it executes."""
    sql = re.sub(r"--[^\n]*|/\*.*?\*/", " ", sql, flags=re.DOTALL)
    sql = _DO_BLOCK.sub(lambda block: f"; {_TEXT.sub(_executed, block[2])} ;", sql)
    sql = re.sub(r"(\$\w*\$).*?\1", " ", sql, flags=re.DOTALL)
    return _TEXT.sub("''", sql)


def _executed(text: re.Match[str]) -> str:
    return f"; {text[0][1:-1]} ;"


def _pattern(written: str) -> re.Pattern[str]:
    return re.compile(written, re.IGNORECASE)


_CREATED = _pattern(r"CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?(?:gridproof\.)?(\w+)")
_ALTERED = _pattern(r"ALTER TABLE (?:IF EXISTS )?(?:ONLY )?(?:gridproof\.)?(\w+)")
_DESTRUCTIVE: tuple[tuple[re.Pattern[str], str], ...] = (
    (_pattern(r"^(?:BEGIN )?DROP\b"), "removes what an older release may use"),
    (_pattern(r"^(?:BEGIN )?(?:TRUNCATE\b|DELETE FROM\b)"), "removes rows that an older release may read"),
    # No release depends on a CHECK constraint. Without it an older release meets new values, as it does in
    # JSON, and loses none.
    (_pattern(r"^ALTER\b.*\bDROP\b(?! CONSTRAINT \w+_check\d*\b)"), "removes what an older release may use"),
    (_pattern(r"^ALTER\b.*\b(?:RENAME|SET SCHEMA)\b"), "renames what an older release uses"),
    (_pattern(r"^ALTER TABLE\b.*\b(?:SET DATA )?TYPE\b"), "changes a type that an older release relies on"),
    (_pattern(r"^ALTER TABLE\b.*\bSET NOT NULL\b"), "refuses rows of an older release"),
    (
        _pattern(
            r"^ALTER TABLE\b.*\bADD (?:COLUMN )?(?:(?!, ADD )(?!DEFAULT|GENERATED).)*NOT NULL"
            r"(?!.*\b(?:DEFAULT|GENERATED)\b)"
        ),
        "adds a column that an older release cannot fill",
    ),
    (
        _pattern(r"^ALTER TABLE\b.*\bADD (?:CONSTRAINT|CHECK|UNIQUE|PRIMARY|FOREIGN|EXCLUDE)\b"),
        "refuses rows of an older release",
    ),
    (
        _pattern(r"^CREATE UNIQUE INDEX\b.*? ON (?:ONLY )?(?:gridproof\.)?(?P<on>\w+)"),
        "refuses rows of an older release",
    ),
    (_pattern(rf"^REVOKE\b.*\bFROM {migrate.APP_ROLE}\b"), "takes a right from an older release"),
)
