"""Refusals of the domain: each is named, and says what would be allowed."""


class DomainError(Exception):
    """A decision refused by the domain. `code` is stable; the message is for people."""

    code = "refused"


class UnknownFacility(DomainError):
    code = "unknown_facility"


class UnknownProgram(DomainError):
    code = "unknown_program"


class UnknownDREvent(DomainError):
    code = "unknown_dr_event"


class UnknownDispatch(DomainError):
    code = "unknown_dispatch"


class FacilityNotAvailable(DomainError):
    """The facility is in maintenance, deactivated, or already reserved for that time."""

    code = "facility_not_available"


class NotAllowedNow(DomainError):
    """The aggregate's state does not allow that command."""

    code = "not_allowed_now"


class MeasurementClosed(DomainError):
    """Corrected readings came too late: what was measured is final."""

    code = "measurement_closed"


class UnknownBmsCommand(DomainError):
    """An outcome was reported for a command that was never requested."""

    code = "unknown_bms_command"


class ReasonRequired(DomainError):
    """A person's decision must carry a reason."""

    code = "reason_required"
