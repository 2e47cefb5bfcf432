"""zeep as a codec: calls to bytes and answers back to values, without zeep's own transport."""

from importlib.resources import as_file
from typing import Any, cast

import zeep
from lxml import etree
from zeep.exceptions import Error as ZeepError

from adapters.bms.messages import (
    FAULT_TAG,
    Contract,
    InvalidMessage,
    body_element,
    contract_folder,
    parse_envelope,
    validate,
)


class DeclaredFault(Exception):
    """The BMS answered with a fault that the contract declares for the operation."""

    def __init__(self, name: str, values: Any) -> None:
        super().__init__(name)
        self.name = name
        self.values = values


class SoapCodec:
    """Built once, offline, from a packaged WSDL; holds no connection and no state between calls."""

    def __init__(self, contract: Contract) -> None:
        settings = zeep.Settings(forbid_external=True, forbid_dtd=True, forbid_entities=True)
        with as_file(contract_folder()) as folder:
            self._client: Any = cast(Any, zeep.Client)(
                str(folder / f"{contract.name}.wsdl"), settings=settings
            )
        self._contract = contract
        self._binding: Any = self._client.wsdl.bindings[contract.binding]

    def encode(self, operation: str, values: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
        """The request's body and HTTP headers. Raises ValueError for values the contract does not allow."""
        try:
            envelope, headers = self._binding._create(operation, (), values, client=self._client)
        except ZeepError as error:
            raise ValueError(f"{operation} cannot be expressed: {error.message}") from error
        validate(body_element(envelope), self._contract, expected=operation)
        return etree.tostring(envelope, xml_declaration=True, encoding="utf-8"), dict(headers)

    def decode(self, operation: str, payload: bytes) -> Any:
        """The answer's values, as attributes. Raises InvalidMessage, or DeclaredFault."""
        envelope = parse_envelope(payload)
        answer = body_element(envelope)
        if answer.tag == FAULT_TAG:
            raise self._fault(operation, answer)
        validate(answer, self._contract, expected=f"{operation}Response")
        return self._binding.get(operation).process_reply(envelope)

    def _fault(self, operation: str, fault: etree._Element) -> DeclaredFault:
        detail = fault.find("detail")
        if detail is None or len(detail) != 1:
            text = (fault.findtext("faultstring") or "")[:200]
            raise InvalidMessage(f"a fault without one detail element: {text!r}")
        name = etree.QName(detail[0]).localname
        if name not in self._binding.get(operation).faults:
            raise InvalidMessage(f"a fault that {operation} does not declare: {name}")
        validate(detail[0], self._contract, expected=name)
        return DeclaredFault(name, self._client.wsdl.types.deserialize(detail[0]))
