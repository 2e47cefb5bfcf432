"""The kinds of processes in deploy/; `python tests/architecture/deployed_kinds.py --write` writes them.

Units of systemd are files of their own; in the other files, what stands between two marks is replaced, and in the
schema of the chart's values the entries of its processes.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from application.operations.process_kinds import KINDS, WEB, ProcessKind
from interfaces.bootstrap.connection_budget import COMMAND, budget_of_worker
from interfaces.settings.settings import PREFIX, Settings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
BEGIN = "# Written by tests/architecture/deployed_kinds.py:"
END = "# So far written."
COMPOSE, ABOUT = "compose/compose.yaml", "chart/files/processes.yaml"
VALUES, MINIMAL, SCHEMA = "chart/values.yaml", "values/minimal.yaml", "chart/values.schema.json"
_UNIT = """\
[Unit]
Description=Gridproof: {title}, process %i{extras}
After=gridproof-migrate.service
Wants=gridproof-migrate.service

[Service]
Type=exec
ExecStart=/opt/gridproof/bin/gridproof worker {name}
Restart=always
RestartSec=5
{more}
[Install]
WantedBy=gridproof.target
"""
_UNIT_OF_WEB = """\
# Process 1 at port 8081, process 2 at 8082: a proxy with TLS stands before them.
Environment=GRIDPROOF_HTTP_BIND=127.0.0.1:808%i
Environment=GRIDPROOF_HTTP_METRICS_BIND=127.0.0.1:9464
"""


def texts(folder: Path = DEPLOY) -> dict[str, str]:
    """File of deploy/ -> its text with the kinds of now. The rest of each file is as `folder` has it."""
    units = {f"systemd/gridproof-{kind.name}@.service": unit(kind) for kind in KINDS}
    marked = {COMPOSE: _services(), ABOUT: _about(), VALUES: _values(), MINIMAL: _least()}
    written = {
        name: _replaced((folder / name).read_text(), "\n".join(lines)) for name, lines in marked.items()
    }
    return units | written | {SCHEMA: _schema((folder / SCHEMA).read_text())}


def stale_units(folder: Path = DEPLOY) -> list[Path]:
    """Units of kinds that are gone."""
    return [
        unit
        for unit in (folder / "systemd").glob("gridproof-*@.service")
        if f"systemd/{unit.name}" not in texts(folder)
    ]


def write(folder: Path = DEPLOY) -> None:
    for unit in stale_units(folder):
        unit.unlink()
    for name, text in texts(folder).items():
        (folder / name).write_text(text)


def unit(kind: ProcessKind) -> str:
    extras = f" (needs the extra {', '.join(kind.extras)})" if kind.extras else ""
    more = _UNIT_OF_WEB if kind.name == WEB else ""
    return _UNIT.format(title=kind.title, extras=extras, name=kind.name, more=more)


def _services() -> Iterator[str]:
    """The services of compose; `web` has more to say and stands there itself."""
    for kind in KINDS:
        if kind.name != WEB:
            image = ', image: "gridproof:measuring"' if kind.extras else ""
            yield f"  {kind.name}: {{<<: *gridproof, command: [worker, {kind.name}]{image}}}"


def _about() -> Iterator[str]:
    yield "processes:"
    for kind in KINDS:
        yield f"  {kind.name}: {_flow(_about_one(kind))}"
    command = {"image": "lean", "role": "application", "sessions": budget_of_worker(COMMAND, Settings())}
    more = {"reaches": ["postgresql", "influxdb", "collector"], "reads": ["GRIDPROOF_INFLUX_TOKEN"]}
    yield "# Jobs."
    yield "commands:"
    yield f"  migrate: {_flow(command | more)}"


def _about_one(kind: ProcessKind) -> dict[str, Any]:
    secrets = sorted(PREFIX + name.upper() for name in {*kind.secrets, "snapshot_key"})
    return {
        "image": "full" if kind.extras else "lean",
        "role": kind.role,
        "sessions": budget_of_worker(kind.name, Settings()),
        "useful": kind.pods.useful,
        "reaches": ["postgresql", *sorted(kind.reaches), "collector"],
        "reads": secrets,
        **({"portfolioSecrets": kind.portfolio_secrets} if kind.portfolio_secrets else {}),
    }


def _values() -> Iterator[str]:
    yield "processes:"
    for kind in KINDS:
        pods = kind.pods
        yield f"  {kind.name}:  # {kind.title}"
        yield f"    replicas: {pods.replicas}"
        if pods.most is not None:
            yield f"    maxReplicas: {pods.most}"
        requests = _flow({"cpu": f"{pods.cpu_m}m", "memory": f"{pods.memory_mib}Mi"})
        yield f"    resources: {{requests: {requests}, limits: {{memory: {pods.memory_limit_mib}Mi}}}}"


def _least() -> Iterator[str]:
    yield "processes:"
    for kind in KINDS:
        most = "" if kind.pods.most is None else ", maxReplicas: 1"
        yield f"  {kind.name}: {{replicas: 1{most}}}"


def _flow(value: Any) -> str:
    """YAML on one line."""
    match value:
        case bool():
            return str(value).lower()
        case Mapping():
            return "{" + ", ".join(f"{name}: {_flow(one)}" for name, one in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_flow, value)) + "]"
        case _:
            return str(value)


def _replaced(text: str, lines: str) -> str:
    """`text` with `lines` between the marks. Each mark keeps its indentation."""
    before, begin, rest = text.partition(BEGIN)
    words, newline, rest = rest.partition("\n")
    old, end, after = rest.partition(END)
    if not end:
        raise ValueError("the marks are missing")
    indent = old[len(old.rstrip(" ")) :]
    return f"{before}{begin}{words}{newline}{lines}\n{indent}{end}{after}"


def _schema(text: str) -> str:
    names = [kind.name for kind in KINDS]
    process = json.dumps({"type": "string", "enum": names})
    text = _replaced_value(text, '"process": ', process, after='"definitions"')
    lines = ",\n".join(f'        "{kind.name}": {json.dumps(_schema_of(kind))}' for kind in KINDS)
    processes = f"""{{
      "type": "object",
      "additionalProperties": false,
      "required": {json.dumps(names)},
      "properties": {{
{lines}
      }}
    }}"""
    return _replaced_value(text, '"processes": ', processes, after='"properties": {\n    "global"')


def _schema_of(kind: ProcessKind) -> dict[str, Any]:
    useful = kind.pods.useful
    counts = {"replicas": {"type": "integer", "minimum": 0, "maximum": useful}}
    if kind.pods.most is not None:
        counts["maxReplicas"] = {"type": "integer", "minimum": 1, "maximum": useful}
    properties = counts | {"resources": {"$ref": "#/definitions/resources"}}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": sorted(properties),
        "properties": properties,
    }


def _replaced_value(text: str, key: str, value: str, *, after: str) -> str:
    """`text` of JSON with another value for the first `key` behind `after`."""
    start = text.index(key, text.index(after)) + len(key)
    _, end = json.JSONDecoder().raw_decode(text, start)
    return text[:start] + value + text[end:]


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        raise SystemExit("python tests/architecture/deployed_kinds.py --write")
    write()
