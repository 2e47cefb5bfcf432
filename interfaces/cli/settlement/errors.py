"""A settlement that was refused, as a program reads it."""

import json
from typing import IO, Any

import click


class RefusedSettlement(click.ClickException):
    """Shown on stderr as `{"error": CODE, "detail": ...}`."""

    exit_code = 1

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code

    def show(self, file: IO[Any] | None = None) -> None:
        written = json.dumps({"error": self.code, "detail": self.message}, ensure_ascii=False)
        click.echo(written, file=file, err=file is None)
