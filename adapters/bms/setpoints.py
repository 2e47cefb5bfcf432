"""Setpoints over SOAP: contract `setpoint_control`."""

from datetime import datetime
from typing import Any

from adapters.bms.codec import SoapCodec
from adapters.bms.messages import SINGLE_PHASE
from adapters.bms.single_phase import ReadSetpoint
from adapters.bms.soap_client import SoapCall
from application.ports.dispatch.building_control import BmsAnswerInvalid, BmsConnection, Setpoint


class SoapSetpoints:
    """Reads and writes one zone per call."""

    def __init__(self, call: SoapCall) -> None:
        self._call = call
        self._codec = SoapCodec(SINGLE_PHASE)

    async def read(self, connection: BmsConnection, zone_id: str, *, urgent: bool = True) -> ReadSetpoint:
        values = {"zoneId": zone_id}
        answer = await self._call(connection, self._codec, "ReadSetpoint", values, urgent=urgent)
        _require_zone(zone_id, answer.zoneId)
        return ReadSetpoint(
            setpoint=Setpoint(value=answer.setpoint.value, unit=answer.setpoint.unit),
            changed_at=answer.changedAt,
            until=answer.until,
        )

    async def write(
        self,
        connection: BmsConnection,
        zone_id: str,
        setpoint: Setpoint,
        *,
        until: datetime | None,
        reference: str,
    ) -> None:
        values: dict[str, Any] = {
            "zoneId": zone_id,
            "setpoint": {"value": setpoint.value, "unit": setpoint.unit},
            "reference": reference,
        }
        if until is not None:
            values["until"] = until
        answer = await self._call(connection, self._codec, "WriteSetpoint", values)
        _require_zone(zone_id, answer.zoneId)


def _require_zone(requested: str, returned: str) -> None:
    if returned != requested:
        raise BmsAnswerInvalid(f"the answer is of another zone: {returned}")
