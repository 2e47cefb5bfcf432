"""Invalid responses of a BMS: each is refused with its reason, within its time and size, and none counts as
success."""

import asyncio
from collections.abc import Callable

import pytest

from adapters.bms.soap import SoapBuildingControl, SoapLimits
from adapters.clock import SystemClock
from application.ports.dispatch.building_control import BmsAnswerInvalid, BmsError, BmsRefused, BmsTimedOut
from tests.fakes.dispatch.call_slots import FakeCallSlots
from tests.integration.bms.rig import http, order, raw_server
from tests.sample_values import THIS_MACHINE

COMMAND = order()
RECEIPT = (
    f"<b:commandId>{COMMAND.command_id}</b:commandId><b:zoneId>hall</b:zoneId><b:phase>prepare</b:phase>"
    "<b:executedAt>2026-07-14T21:00:00Z</b:executedAt>"
    "<b:setpoint><b:value>22.0</b:value><b:unit>celsius</b:unit></b:setpoint><b:repeated>false</b:repeated>"
)


def envelope(content: str, before: str = "") -> bytes:
    return (
        f'<?xml version="1.0"?>{before}<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        f'xmlns:b="urn:gridproof:bms:1"><s:Body>{content}</s:Body></s:Envelope>'
    ).encode()


def reply(receipt: str, name: str = "PrepareCommandResponse") -> bytes:
    return envelope(f"<b:{name}>{receipt}</b:{name}>")


def fault(detail: str) -> bytes:
    return envelope(
        f"<s:Fault><faultcode>s:Server</faultcode><faultstring>no</faultstring><detail>{detail}</detail></s:Fault>"
    )


REFUSED = "<b:RefusedFault><b:code>local_override</b:code><b:reason>by hand</b:reason></b:RefusedFault>"
LAUGHS = (
    '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">'
    '<!ENTITY f SYSTEM "file:///etc/passwd">]>'
)

ANSWERS: dict[str, tuple[bytes, type[BmsError], str]] = {
    "an unknown enumeration value": (
        http(reply(RECEIPT.replace(">prepare<", ">celebrate<"))), BmsAnswerInvalid, "celebrate",
    ),
    "a missing element": (
        http(reply(RECEIPT.replace("<b:repeated>false</b:repeated>", ""))), BmsAnswerInvalid, "repeated",
    ),
    "an extra element": (http(reply(RECEIPT + "<b:more/>")), BmsAnswerInvalid, "more"),
    "not a number": (http(reply(RECEIPT.replace("22.0", "NaN"))), BmsAnswerInvalid, "NaN"),
    "a time without its offset": (
        http(reply(RECEIPT.replace("00:00Z", "00:00"))), BmsAnswerInvalid, "executedAt",
    ),
    "the reply of another operation": (
        http(reply(RECEIPT, "CommitCommandResponse")), BmsAnswerInvalid, "expected PrepareCommandResponse",
    ),
    "the receipt of another command": (
        http(reply(RECEIPT.replace(str(COMMAND.command_id), str(order().command_id)))),
        BmsAnswerInvalid, "another command",
    ),
    "the receipt of another zone": (
        http(reply(RECEIPT.replace(">hall<", ">attic<"))), BmsAnswerInvalid, "another command",
    ),
    "another namespace": (
        http(reply(RECEIPT).replace(b"urn:gridproof:bms:1", b"urn:other")), BmsAnswerInvalid, "urn:other",
    ),
    "an empty body": (http(envelope("")), BmsAnswerInvalid, "no single body element"),
    "two body elements": (http(envelope("<b:a/><b:b/>")), BmsAnswerInvalid, "no single body element"),
    "no envelope": (http(b"<html/>"), BmsAnswerInvalid, "not a SOAP"),
    "no XML": (http(b"{}"), BmsAnswerInvalid, "not well-formed"),
    "nothing": (http(b""), BmsAnswerInvalid, "not well-formed"),
    "a document type": (
        http(envelope(f"<b:PrepareCommandResponse>{RECEIPT}</b:PrepareCommandResponse>", "<!DOCTYPE x>")),
        BmsAnswerInvalid, "document type",
    ),
    "an entity bomb": (http(envelope("&c;", LAUGHS)), BmsAnswerInvalid, "document type"),
    "an entity from a file": (http(envelope("&f;", LAUGHS)), BmsAnswerInvalid, "document type"),
    "an HTML 502": (
        http(b"<html>Bad gateway</html>", status="502 Bad Gateway", content_type="text/html"),
        BmsAnswerInvalid, "502",
    ),
    "an HTML 200": (http(b"<html/>", content_type="text/html"), BmsAnswerInvalid, "text/html"),
    "a redirect": (
        http(b"", status="307 Temporary Redirect", extra="Location: http://127.0.0.1:1/\r\n"),
        BmsAnswerInvalid, "307",
    ),
    "a compressed body": (
        http(b"\x1f\x8b" + bytes(100), extra="Content-Encoding: gzip\r\n"), BmsAnswerInvalid, "not well-formed",
    ),
    "an oversize body": (http(b" " * 200_000), BmsAnswerInvalid, "more than 65536"),
    "not HTTP": (b"SSH-2.0-OpenSSH\r\n\r\n", BmsAnswerInvalid, "not HTTP"),
    "a success with HTTP 500": (
        http(reply(RECEIPT), status="500 Internal Server Error"), BmsAnswerInvalid, "instead of a fault",
    ),
    "a typed fault": (
        http(fault(REFUSED), status="500 Internal Server Error"), BmsRefused, "by hand",
    ),
    "a typed fault with HTTP 200": (http(fault(REFUSED)), BmsRefused, "by hand"),
    "a fault with one element": (
        http(fault("<b:InvalidRequestFault><b:reason>bad</b:reason></b:InvalidRequestFault>")), BmsRefused, "bad",
    ),
    "a fault without detail": (
        http(fault(""), status="500 Internal Server Error"), BmsAnswerInvalid, "without one detail",
    ),
    "an undeclared fault": (
        http(fault("<b:OnFireFault/>"), status="500 Internal Server Error"), BmsAnswerInvalid, "does not declare",
    ),
    "an invalid fault": (
        http(fault(REFUSED.replace("local_override", "Local Override")), status="500 Oops"),
        BmsAnswerInvalid, "RefusedFault is not valid",
    ),
    "a truncated answer": (http(reply(RECEIPT))[:-20], BmsTimedOut, "lost before the answer"),
    "a closed connection": (b"", BmsTimedOut, "lost before the answer"),
}  # fmt: skip


def after(limits: SoapLimits, answer: Callable[[bytes, asyncio.StreamWriter], object]) -> BmsError:
    """The error that a prepare raises."""

    async def scenario() -> BmsError:
        control = SoapBuildingControl(
            clock=SystemClock(),
            secret=lambda _: b"",
            limits=limits,
            networks=THIS_MACHINE,
            slots=FakeCallSlots(),
        )
        async with raw_server(answer) as connection:  # type: ignore[arg-type]
            with pytest.raises(BmsError) as raised:
                await control.execute(connection, COMMAND)
        await control.aclose()
        return raised.value

    return asyncio.run(scenario())


@pytest.mark.parametrize("case", sorted(ANSWERS))
def test_a_hostile_answer_is_refused_with_a_specific_error(case: str) -> None:
    sent, error, text = ANSWERS[case]

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)

    raised = after(SoapLimits(), answer)
    assert type(raised) is error
    assert text in str(raised)


def test_the_unmodified_answer_is_valid() -> None:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(http(reply(RECEIPT)))

    async def scenario() -> None:
        control = SoapBuildingControl(
            clock=SystemClock(), secret=lambda _: b"", networks=THIS_MACHINE, slots=FakeCallSlots()
        )
        async with raw_server(answer) as connection:
            assert (await control.execute(connection, COMMAND)).command_id == COMMAND.command_id
        await control.aclose()

    asyncio.run(scenario())


def test_a_slowly_dripping_answer_is_cut_off_at_the_total_time_limit() -> None:
    dripped = 0

    async def drip(_: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal dripped
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 5000\r\n\r\n")
        while dripped < 5000:
            dripped += 1
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    raised = after(SoapLimits(total_s=0.4, total_floor_s=0.4), drip)
    assert isinstance(raised, BmsTimedOut)
    assert 0 < dripped < 2500


def test_an_endless_body_is_cut_off_at_the_size_limit() -> None:
    sent = 0

    async def flood(_: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n")
        while sent < 500_000_000:
            writer.write(b" " * 65_536)
            sent += 65_536
            await writer.drain()

    raised = after(SoapLimits(), flood)
    assert isinstance(raised, BmsAnswerInvalid)
    assert "more than 65536" in str(raised)
    assert sent < 50_000_000


def test_an_invalid_command_is_never_sent() -> None:
    async def scenario() -> None:
        control = SoapBuildingControl(
            clock=SystemClock(), secret=lambda _: b"", networks=THIS_MACHINE, slots=FakeCallSlots()
        )
        reached = False

        async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
            nonlocal reached
            reached = True

        async with raw_server(answer) as connection:
            for changes in ({"magnitude": 1000.0}, {"zone_id": "Not An Id"}, {"round": -1}):
                with pytest.raises(ValueError, match="not valid"):
                    await control.execute(connection, order(**changes))
        assert not reached
        await control.aclose()

    asyncio.run(scenario())
