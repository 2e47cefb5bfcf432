"""The checks of what other servers answer, for `gridproof doctor`: web, building management systems, certificates."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from socket import gethostname
from typing import TYPE_CHECKING

from application.ports.operations.heartbeats import SILENT_S
from interfaces.bootstrap.clock import machine_time
from interfaces.bootstrap.doctor.result import CheckResult, named_first
from interfaces.bootstrap.health.process import certificates_of, heartbeats_of
from interfaces.bootstrap.health.web_answer import ask_web
from interfaces.bootstrap.servers import system_identity
from interfaces.workers.loops.process_monitor import NEAR

if TYPE_CHECKING:
    from application.ports.operations.certificates import CertificateEnd
    from interfaces.bootstrap.stores import Stores
    from interfaces.settings.settings import Settings

WEB, BMS, CERTIFICATES = "web", "bms", "certificates"
WEB_WITHIN_S = 5.0
BMS_WITHIN_S = 15.0
"""For all of them."""
_WEB_ADVICE = (
    "does `gridproof up`, or `gridproof worker web`, run? check GRIDPROOF_HTTP_BIND, and logs/web.log"
)
_BMS_ADVICE = (
    "check the addresses, and the way from this machine to them; see docs/runbooks/bms_breaker_open.md"
)


def check_web(stores: Stores) -> CheckResult:
    """Ask the address of the settings: `wrong` where another system answers there, or no process of ours serves."""
    url = f"http://{stores.settings.http_bind}"
    try:
        answer = ask_web(url, within_s=WEB_WITHIN_S)
    except OSError as error:
        return _web_elsewhere(stores, f"{url} does not answer ({error})")
    if answer.is_foreign(system_identity(stores.pool)):
        detail = f"something else answers at {url}, not this system"
        return CheckResult(check=WEB, state="wrong", detail=detail, advice=_WEB_ADVICE)
    state = {200: "answers", 503: "answers that it is not ready"}.get(answer.status, f"HTTP {answer.status}")
    if answer.status == 200:
        return CheckResult(check=WEB, state="ok", detail=f"{url} {state}")
    return CheckResult(check=WEB, state="wrong", detail=f"{url} {state}", advice=f"see {url}/ready")


def _web_elsewhere(stores: Stores, detail: str) -> CheckResult:
    """Web processes of other machines report, and cannot be asked at the address that they bind."""
    hosts = sorted(
        {
            one.process.host
            for one in heartbeats_of(stores).listed()
            if one.process.worker == "web" and one.age_s < SILENT_S
        }
        - {gethostname()}
    )
    if hosts:
        return CheckResult(check=WEB, state="ok", detail=f"runs on {', '.join(hosts)}; here {detail}")
    return CheckResult(check=WEB, state="wrong", detail=detail, advice=_WEB_ADVICE)


def check_bms(stores: Stores) -> CheckResult:
    """Open a connection to each registered BMS, and send nothing; `wrong` where none can be reached."""
    from adapters.bms.reachability import NOT_TRIED, unreachable
    from application.facility.bms_networks import BmsNetworks
    from interfaces.bootstrap.stores import facility_rows

    addresses: dict[str, list[str]] = {}
    for row in facility_rows(stores):
        if row.bms_address and row.status != "deactivated":
            addresses.setdefault(row.bms_address, []).append(row.facility_id)
    if not addresses:
        return CheckResult(check=BMS, state="not set", detail="no facility has one")
    networks = BmsNetworks.of(stores.settings.bms_networks)
    found = asyncio.run(unreachable(addresses, networks, within_s=BMS_WITHIN_S))
    problems = {address: why for address, why in found.items() if why != NOT_TRIED}
    return assess_bms(addresses, problems, untried=len(found) - len(problems))


def assess_bms(
    addresses: Mapping[str, Sequence[str]], problems: Mapping[str, str], *, untried: int
) -> CheckResult:
    """`wrong` where none of those that were tried can be reached. `addresses`: with the facilities of each."""
    away = [
        f"{facility_id} ({why})" for address, why in problems.items() for facility_id in addresses[address]
    ]
    facts = {"addresses": len(addresses), "unreachable": sorted(problems), "untried": untried}
    rest = f"; {untried} not tried within {BMS_WITHIN_S:g} s" if untried else ""
    tried = len(addresses) - untried
    if not away:
        return CheckResult(
            check=BMS, state="ok" if tried else "warning", detail=f"{tried} reached{rest}", facts=facts
        )
    return CheckResult(
        check=BMS,
        state="wrong" if len(problems) == tried else "warning",
        detail=f"{len(problems)} of {tried} not reached from here: {named_first(sorted(away))}{rest}",
        advice=_BMS_ADVICE,
        facts=facts,
    )


def check_certificates(settings: Settings) -> CheckResult:
    """Of every server and file that the settings name."""
    return assess_certificates(certificates_of(settings).ends(), machine_time())


def assess_certificates(ends: Sequence[CertificateEnd], now: datetime) -> CheckResult:
    """`wrong` where one has ended, a warning where one ends soon."""
    if not ends:
        return CheckResult(check=CERTIFICATES, state="not set", detail="no server showed one, no file is set")
    facts = {one.name: one.ends_at for one in ends}
    first = min(ends, key=lambda one: one.ends_at)
    over = [one.name for one in ends if one.ends_at <= now]
    near = [one.name for one in ends if now < one.ends_at < now + NEAR]
    found = f"{len(ends)}; the first to end is {first.name}, {first.ends_at:%Y-%m-%d %H:%MZ}"
    if not over and not near:
        return CheckResult(check=CERTIFICATES, state="ok", detail=found, facts=facts)
    parts = [
        f"{title}: {named_first(names)}" for title, names in (("ended", over), ("end soon", near)) if names
    ]
    return CheckResult(
        check=CERTIFICATES,
        state="wrong" if over else "warning",
        detail=f"{'; '.join(parts)}; {found}",
        advice="renew them; see docs/runbooks/certificate_expiring.md",
        facts=facts,
    )
