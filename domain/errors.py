"""Errors of the domain: each has a stable code, and a message that says what is allowed."""


class DomainError(Exception):
    """A decision that the domain refused. `code` is stable; the message is for people."""

    code = "refused"


class UnknownFacility(DomainError):
    """No facility has this id."""

    code = "unknown_facility"


class UnknownDREvent(DomainError):
    """No DR event has this id."""

    code = "unknown_dr_event"


class UnknownDispatch(DomainError):
    """The facility has no dispatch in this DR event."""

    code = "unknown_dispatch"


class FacilityTooLarge(DomainError):
    """The facility has more zones, meters or programs than one decision can command."""

    code = "facility_too_large"


class FacilityNotAvailable(DomainError):
    """The facility is in maintenance, deactivated, or reserved for that time."""

    code = "facility_not_available"


class BmsAccessDenied(DomainError):
    """The caller may not set address or credentials of a BMS."""

    code = "bms_access_denied"


class NotAllowedNow(DomainError):
    """The aggregate's state does not allow the command."""

    code = "not_allowed_now"


class MeasurementClosed(DomainError):
    """The corrected readings are too late: the measurement is final."""

    code = "measurement_closed"


class SettlementFinal(DomainError):
    """It is after the deadline: nothing is settled again."""

    code = "settlement_final"


class SettlementWaits(DomainError):
    """The rule pays the DR event's own prices, and one is missing: it may still come."""

    code = "price_missing"


class SettlementImpossible(DomainError):
    """The rule cannot settle this DR event: it does not know its kind, or its intervals are no multiple of the metering
    step."""

    code = "settlement_impossible"


class UnknownBmsCommand(DomainError):
    """An outcome was reported for a command that was never requested."""

    code = "unknown_bms_command"


class ReasonRequired(DomainError):
    """A person's decision needs a reason."""

    code = "reason_required"
