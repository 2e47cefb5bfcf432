"""Commands on programs."""

import msgspec

from application.facility.portfolio_entries import ProgramEntry


class AgreeProgram(msgspec.Struct, frozen=True, kw_only=True):
    """Register a program's terms; changed terms become a new version."""

    entry: ProgramEntry
