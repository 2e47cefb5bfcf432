"""Parser of files of settings: `NAME=value` lines, `#` comments, optional quotes and `export`."""

from pathlib import Path

MAX_BYTES = 65_536


def read_env_file(file: Path, *, prefix: str) -> tuple[dict[str, str], list[str]]:
    """The non-empty values by name, and the problems of the file. A problem never quotes a value."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            return {}, [f"{file}: over {MAX_BYTES} bytes is no file of settings; name the right one"]
        content = raw.decode()
    except OSError as error:
        return {}, [
            f"{file}: cannot be read ({error.strerror}); name a file that exists, or leave --env-file out"
        ]
    except UnicodeDecodeError:
        return {}, [f"{file}: is not UTF-8 text; save it as such"]
    return _read_lines(file, content, prefix)


def _read_lines(file: Path, content: str, prefix: str) -> tuple[dict[str, str], list[str]]:
    values: dict[str, str] = {}
    problems: list[str] = []
    for number, line in enumerate(content.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.removeprefix("export ").partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            problems.append(f"{file}, line {number}: write NAME=value")
        elif not name.startswith(prefix):
            problems.append(
                f"{file}, line {number}: {name} is no setting, they begin with {prefix}; "
                "keep secrets in the environment or in files of their own"
            )
        elif name in values:
            problems.append(f"{file}, line {number}: {name} stands twice; keep one")
        elif unquoted := _unquoted(value.strip()):
            values[name] = unquoted
    return values, problems


def _unquoted(value: str) -> str:
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value
