"""Descriptions of settings: what each does, its default and its allowed values: `gridproof settings` and
docs/guides/settings.md.

Everything is read from `Settings` itself: the sentence is the docstring of the field, the values are what its parser
says that it expects.
"""

import ast
import dataclasses
import inspect
import re
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from application.facility.secret_references import is_reference
from interfaces.settings import parsers as parse
from interfaces.settings.env_file import read_env_file
from interfaces.settings.settings import PREFIX, Settings, as_text

_NOT_PARSED = {parse.path: "a path", parse.text: "text"}
_HIDDEN = "***"


class SettingDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A setting as it is without a value."""

    name: str
    """The environment variable."""
    default: str | None
    allowed: str
    what: str
    holds_reference: bool
    """Whether the value says where a secret is; anything else is hidden."""


class SettingValue(msgspec.Struct, frozen=True, kw_only=True):
    """A setting as it is now. Passwords in addresses are left out."""

    name: str
    value: str | None
    origin: str
    """`environment`, `file PATH`, `a file in its default place`, or `default`."""
    default: str | None
    allowed: str
    what: str


@cache
def setting_descriptions() -> tuple[SettingDescription, ...]:
    """Every setting, in the order of `Settings`."""
    sentences = _docstrings()
    return tuple(_description(spec, sentences.get(spec.name, "")) for spec in dataclasses.fields(Settings))


def setting_values(
    settings: Settings, *, given: Mapping[str, str], env_file: Path | None
) -> tuple[SettingValue, ...]:
    """Every setting with its value. `given`: the environment before files in their default places were read;
    `env_file`: the file that was named."""
    shown, values = settings.described(), settings.to_environ()
    of_file = {} if env_file is None else read_env_file(env_file, prefix=PREFIX)[0]
    return tuple(
        SettingValue(
            name=one.name,
            value=_shown_value(one, shown.get(one.name)),
            origin=_origin(one, values.get(one.name), given, of_file, env_file),
            default=one.default,
            allowed=one.allowed,
            what=one.what,
        )
        for one in setting_descriptions()
    )


def _origin(
    described: SettingDescription,
    value: str | None,
    given: Mapping[str, str],
    of_file: Mapping[str, str],
    env_file: Path | None,
) -> str:
    """A value that two places give alike counts as that of the file, then as the default."""
    name = described.name
    if name in of_file and value == _normalized(name, of_file[name]):
        return f"file {env_file}"
    if value == described.default:
        return "default"
    return "environment" if given.get(name, "").strip() else "a file in its default place"


def _normalized(name: str, written: str) -> str:
    """The value as the environment of a child process has it."""
    parser = next(
        spec.metadata["parser"] for spec in dataclasses.fields(Settings) if PREFIX + spec.name.upper() == name
    )
    return as_text(parser(written))


def _shown_value(described: SettingDescription, value: str | None) -> str | None:
    is_hidden = value is not None and described.holds_reference and not is_reference(value)
    return _HIDDEN if is_hidden else value


def _description(spec: "dataclasses.Field[Any]", sentence: str) -> SettingDescription:
    default = None if spec.default is None else as_text(spec.default)
    return SettingDescription(
        name=PREFIX + spec.name.upper(),
        default=default,
        allowed=_allowed(spec.metadata["parser"]),
        what=sentence,
        holds_reference="as env:NAME or file:/path" in sentence,
    )


def _allowed(parser: Any) -> str:
    """The values that the parser says it expects, of a value that none takes."""
    if parser in _NOT_PARSED:
        return _NOT_PARSED[parser]
    try:
        parser("?")
    except ValueError as error:
        return str(error).partition(": '")[0].removeprefix("use ")
    return "text"


def _docstrings() -> dict[str, str]:
    """Field -> the string below it, on one line, in the words of somebody who sets variables."""
    (definition,) = ast.parse(inspect.getsource(Settings)).body
    members = definition.body if isinstance(definition, ast.ClassDef) else []
    sentences = {}
    for field, below in pairwise(members):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            sentences[field.target.id] = _of_variables(" ".join(str(below.value.value).split()))
    return sentences


def _of_variables(sentence: str) -> str:
    fields = {spec.name for spec in dataclasses.fields(Settings)}
    with_variables = re.sub(
        r"`([a-z0-9_]+)`",
        lambda name: f"`{PREFIX}{name[1].upper()}`" if name[1] in fields else name[0],
        sentence,
    )
    return re.sub(r"\bNone\b", "not set", with_variables)
