"""C2: who may say where a BMS is and which password it gets, and which addresses are called."""

import asyncio
import socket
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec.structs import replace

from adapters.bms.transport import BmsHttp, CallLimits
from application.commands.facility import RegisterFacility
from application.facility.bms_networks import BmsAddressRefused, BmsNetworks
from application.facility.portfolio_entries import BmsEntry, MeterEntry
from application.facility.recorded_entries import without_credentials
from application.ports.dispatch.building_control import BmsUnreachable
from domain.errors import BmsAccessDenied
from domain.facility import BmsLink, Facility
from interfaces.settings.settings import SettingsError, read_settings
from tests.given_when_then import fact, given
from tests.sample_values import facility_entry
from tests.unit.interfaces.web.edge import Edge, problem_of

HALL = replace(
    facility_entry(),
    bms=BmsEntry(address="https://bms.example/1", credentials_ref="env:GRIDPROOF_SECRET_BMS_HALL"),
)
DEFAULT = BmsNetworks.of(None)
LIMITS = CallLimits(connect_s=5.0, total_s=10.0, answer_bytes=1_000)


def test_only_an_admin_sets_address_and_credentials_of_a_bms() -> None:
    def by_operator(entry: Any) -> RegisterFacility:
        return RegisterFacility(entry=entry, may_connect_bms=False)

    story = given().after(RegisterFacility(entry=HALL))
    story.when(by_operator(HALL)).then()
    story.when(
        by_operator(replace(HALL, meters=(MeterEntry(meter_id="main"), MeterEntry(meter_id="roof"))))
    ).then(fact(Facility.MeterInstalled, meter_id="roof"))
    for change in (
        {"address": "https://attacker.example/1"},
        {"credentials_ref": "env:GRIDPROOF_SECRET_BMS_OTHER"},
        {"address": "https://attacker.example/1", "credentials_ref": None},
    ):
        story.when(by_operator(replace(HALL, bms=replace(HALL.bms, **change)))).refused(BmsAccessDenied)
    story.when(by_operator(replace(HALL, facility_id="fac-009"))).refused(BmsAccessDenied)


def test_the_entry_that_an_operator_reads_leaves_the_credentials_as_they_are() -> None:
    """It has no reference, as `audit replay` has none."""
    story = given().after(RegisterFacility(entry=HALL))
    edited = replace(
        without_credentials(HALL), meters=(MeterEntry(meter_id="main"), MeterEntry(meter_id="r"))
    )
    story.when(RegisterFacility(entry=edited, may_connect_bms=False)).then(
        fact(Facility.MeterInstalled, meter_id="r")
    )
    story.when(RegisterFacility(entry=edited)).then(
        fact(Facility.BmsConnected, bms=BmsLink(address=HALL.bms.address, profile=HALL.bms.profile))
    )


def test_over_http_the_role_decides() -> None:
    def refused(command: Any) -> int:
        raise BmsAccessDenied("address and credentials of a BMS are set with a key of role admin")

    edge = Edge(others={"known_programs": lambda asked: dict.fromkeys({"summer-peak"} & set(asked))})
    entry = {
        "facility_id": "fac-003",
        "meters": [{"meter_id": "main"}],
        "zones": [{"zone_id": "zone-1", "curtailable_kw": 40}],
        "bms": {"address": "https://bms.example/x"},
        "programs": ["summer-peak"],
    }
    operator, admin = edge.key("operator"), edge.key("admin")
    edge.commands.answer = lambda command: 6
    with edge.client() as client:
        for key in (operator, admin):
            assert client.post("/api/facilities", json=entry, headers=key).status_code == 200
        edge.commands.answer = refused
        document = problem_of(client.post("/api/facilities", json=entry, headers=operator))
    assert [command.may_connect_bms for command, _, _ in edge.commands.given[:2]] == [False, True]
    assert (document["status"], document["type"]) == (403, "/problems/forbidden")


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1%25eth0]/bms",
        "http://[fd00:ec2::254]/latest",
        "http://100.100.100.200/",
        "http://168.63.129.16/",
        "http://0.0.0.0:8080/",
        "http://[::]/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://[ff02::1]/",
        "http://127.0.0.1:5432/",
        "http://127.9.9.9/",
        "http://[::1]/",
        "http://localhost:9/",
        "http://localhost./",
        "http://a.localhost/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://127.1/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[::127.0.0.1]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[64:ff9b:1::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[2002:a9fe:a9fe::1]/",
    ],
)
def test_an_address_that_is_never_called_is_refused_at_registration(url: str) -> None:
    with pytest.raises(BmsAddressRefused):
        DEFAULT.check_url(url)


def test_other_addresses_are_allowed_unless_the_setting_names_networks() -> None:
    for url in (
        "http://10.1.2.3/bms",
        "https://bms.example/1",
        "http://[fd12::7]/",
        "http://192.0.2.7:8080/",
    ):
        DEFAULT.check_url(url)
    few = BmsNetworks.of("10.20.0.0/16, fd12::/16")
    for url in ("http://10.20.1.1/", "http://[fd12::7]/"):
        few.check_url(url)
    # The last is in no network that is named: it is an IPv6 address.
    for url in ("http://10.21.1.1/", "http://[fd13::7]/", "http://127.0.0.1/", "http://[::ffff:10.20.1.1]/"):
        with pytest.raises(BmsAddressRefused, match="GRIDPROOF_BMS_NETWORKS"):
            few.check_url(url)
    BmsNetworks.of("127.0.0.0/8").check_url("http://127.0.0.1:1/")
    with pytest.raises(BmsAddressRefused):
        BmsNetworks.of("0.0.0.0/0").check_url("http://127.0.0.1:1/")  # loopback only by its own name


def test_a_setting_that_allows_what_is_never_called_is_refused() -> None:
    for networks in ("169.254.0.0/16", "10.0.0.0/8,fe80::/64", "224.0.0.0/8", "not a network", ","):
        with pytest.raises(SettingsError, match="GRIDPROOF_BMS_NETWORKS"):
            read_settings({"GRIDPROOF_BMS_NETWORKS": networks})


class Rebinding(AbstractResolver):
    """A name server that leads to this machine at the second question."""

    def __init__(self, *addresses: str) -> None:
        self.answers = list(addresses)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        address = self.answers.pop(0)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
        ]

    async def close(self) -> None:
        """There is nothing to close."""


def test_the_address_that_a_name_resolves_to_is_checked_when_the_call_connects() -> None:
    async def scenario() -> None:
        received: list[bytes] = []

        async def listener(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            received.append(await reader.read(1_000))
            writer.close()

        server = await asyncio.start_server(listener, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        for answer in ("127.0.0.1", "169.254.169.254"):
            http = BmsHttp(DEFAULT, resolver=Rebinding(answer))
            with pytest.raises(BmsUnreachable, match="nothing was sent"):
                await http.post(
                    f"http://bms.example:{port}/",
                    b"<a/>",
                    {},
                    credentials=("fac", b"password"),
                    limits=LIMITS,
                )
            await http.aclose()
        http = BmsHttp(DEFAULT)
        with pytest.raises(BmsUnreachable, match="nothing was sent"):
            await http.post(f"http://127.0.0.1:{port}/", b"<a/>", {}, credentials=None, limits=LIMITS)
        await http.aclose()
        server.close()
        assert received == []

    asyncio.run(scenario())
