"""Quota for the messages as they were sent: how many bytes of them are stored beside their readings (ADR 0025).

They share the telemetry log with the readings. A valid message may be as large as any, so without a limit the messages
of some logins could fill the log, and no reading would be accepted. Beyond the quota only the readings are stored.
"""

from application.access.token_bucket import Allowance, SharedBuckets
from application.telemetry.ingest.message_quota import OF_A_METER

LEAST_METERS = 10
"""A facility has at least the allowance of so many meters: one that lists none may have up to 1,000, which send 9 kB a
second in single readings."""
OF_ALL = Allowance(128e6, 512e3)
"""Over ten minutes without a store 435 MB, as much as of malformed messages: both leave a fifth of a log of 1 GiB to
the readings, and 10,000 facilities fill 2 % in that time. Their messages, single readings of 130 bytes every 15 s, are
87 kB a second, so all of them are stored."""


def of_a_facility(meters: int) -> Allowance:
    """The quota of a facility that lists `meters` meters."""
    counted = max(LEAST_METERS, meters)
    return Allowance(counted * OF_A_METER.at_once, counted * OF_A_METER.per_s)


def original_quota(of_all: Allowance = OF_ALL) -> SharedBuckets:
    """The quota of one process, in bytes of payload. Its `now_s` is monotonic wall time: it is about disk space."""
    return SharedBuckets("original quotas", of_all)
