"""What `gridproof doctor` concludes from what it found."""

from datetime import UTC, datetime, timedelta

import pytest

from adapters.nats.server_state import StreamFill
from application.operations.clock_monitor import Skew
from application.ports.operations.alerts import Alert, Severity
from application.ports.operations.certificates import CertificateEnd
from interfaces.bootstrap.doctor import meters
from interfaces.bootstrap.doctor.alerts import check_alerts
from interfaces.bootstrap.doctor.other_servers import assess_certificates
from interfaces.bootstrap.doctor.result import MOST_NAMED, named_first
from interfaces.bootstrap.doctor.servers import assess_clock, assess_streams

NOW = datetime(2026, 7, 14, 12, tzinfo=UTC)


def alert(name: str, severity: Severity, *, acknowledged: bool = False) -> Alert:
    return Alert(
        alert_id=1,
        name=name,
        subject="fac-001",
        severity=severity,
        detail="",
        raised_at=NOW,
        last_seen_at=NOW,
        acknowledged_at=NOW if acknowledged else None,
    )


def test_without_an_open_alert_all_is_well() -> None:
    assert check_alerts([]).state == "ok"


def test_a_warning_is_no_failure() -> None:
    found = check_alerts([alert("bms_drift", "warning")])

    assert (found.state, found.detail) == ("warning", "1 warning: bms_drift fac-001")


@pytest.mark.parametrize("severity", ["page", "critical"])
def test_an_alert_that_pages_or_is_critical_fails_also_when_it_is_looked_after(severity: Severity) -> None:
    found = check_alerts(
        [alert("bms_drift", "warning"), alert("restore_failed", severity, acknowledged=True)]
    )

    assert found.state == "wrong"
    assert found.detail == (
        f"1 {severity}: restore_failed fac-001 (acknowledged); 1 warning: bms_drift fac-001"
    )


def test_silent_meters_are_named_with_their_facility() -> None:
    found = meters.assess({"fac-001": {"main", "roof"}, "fac-002": {"main"}}, {"fac-001": ["roof"]})

    assert (found.state, found.detail) == ("warning", "1 silent: fac-001/roof")
    assert found.facts["silent"] == ["fac-001/roof"]


def test_facilities_that_list_no_meters_are_named() -> None:
    found = meters.assess({"fac-001": set(), "fac-002": {"main"}}, {})

    assert found.state == "warning"
    assert "(1): fac-001" in found.detail
    assert meters.assess({"fac-002": {"main"}}, {}).state == "ok"


def test_certificates_that_end_soon_warn_and_those_that_ended_fail() -> None:
    far = CertificateEnd("redis_url cache:6379", NOW + timedelta(days=90))
    near = CertificateEnd("mqtt_url broker:8883", NOW + timedelta(days=13))
    over = CertificateEnd("database_url db:5432", NOW - timedelta(days=1))

    assert assess_certificates([], NOW).state == "not set"
    assert assess_certificates([far], NOW).state == "ok"
    warned, failed = assess_certificates([far, near], NOW), assess_certificates([far, near, over], NOW)
    assert (warned.state, failed.state) == ("warning", "wrong")
    assert warned.detail.startswith("end soon: mqtt_url broker:8883; 2; the first to end is mqtt_url")
    assert failed.detail.startswith("ended: database_url db:5432; end soon: mqtt_url broker:8883; 3;")


def test_a_clock_far_from_that_of_nats_fails() -> None:
    assert assess_clock(None).state == "not set"
    assert assess_clock(Skew(4.9, 0.0)).state == "ok"
    assert assess_clock(Skew(-6.0, 0.5)).state == "wrong"
    assert assess_clock(Skew(-6.0, 2.0)).state == "ok", "a slow answer says little"


def test_a_stream_that_is_nearly_full_is_a_warning() -> None:
    room, full = StreamFill("BMS_WORK", 10, 100, 1), StreamFill("TELEMETRY", 81_000_000, 100_000_000, 3)
    unbounded = StreamFill("CALLBACK_WORK", 10**12, None, 1)

    assert assess_streams([]).state == "not set"
    assert assess_streams([room, unbounded]).state == "ok"
    found = assess_streams([room, full, unbounded])
    assert found.state == "warning"
    assert found.detail.startswith("nearly full: TELEMETRY; ")
    assert "TELEMETRY 81 MB of 100 MB, 3 replicas" in found.detail


def test_long_lists_are_cut_and_counted() -> None:
    names = [str(number) for number in range(MOST_NAMED + 2)]

    assert named_first(names).endswith(", 19 and 2 more")
