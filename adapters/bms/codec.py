"""Encodes SOAP requests and decodes responses, without a transport. zeep reads the contract."""

from importlib.resources import as_file
from typing import Any, cast

import zeep
from lxml import etree

from adapters.bms.messages import (
    ENVELOPE_NAMESPACE,
    FAULT_TAG,
    Contract,
    InvalidMessage,
    body_element,
    contract_folder,
    parse_envelope,
    validate,
)
from adapters.bms.shapes import OperationShapes, Shape


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
            client: Any = cast(Any, zeep.Client)(str(folder / f"{contract.name}.wsdl"), settings=settings)
        self._contract = contract
        operations: dict[str, Any] = client.wsdl.bindings[contract.binding].all()
        names = {name for operation in operations.values() for name in operation.faults}
        faults = {name: Shape(client.get_element(f"{{{contract.namespace}}}{name}")) for name in names}
        self._operations = {name: OperationShapes(result, faults) for name, result in operations.items()}

    def encode(self, operation: str, values: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
        """The request's body and HTTP headers. Raises ValueError for values that the contract does not allow."""
        shapes = self._operations[operation]
        envelope = etree.Element(f"{{{ENVELOPE_NAMESPACE}}}Envelope", nsmap=_NAMESPACES)
        request = shapes.request.write(etree.SubElement(envelope, f"{{{ENVELOPE_NAMESPACE}}}Body"), values)
        validate(request, self._contract, expected=operation)
        return etree.tostring(envelope, xml_declaration=True, encoding="utf-8"), dict(shapes.headers)

    def decode(self, operation: str, payload: bytes) -> Any:
        """The values of the response, as attributes. Raises InvalidMessage, or DeclaredFault."""
        answer = body_element(parse_envelope(payload))
        if answer.tag == FAULT_TAG:
            raise self._fault(operation, answer)
        validate(answer, self._contract, expected=f"{operation}Response")
        return self._operations[operation].answer.read(answer)

    def _fault(self, operation: str, fault: etree._Element) -> DeclaredFault:
        detail = fault.find("detail")
        if detail is None or len(detail) != 1:
            text = (fault.findtext("faultstring") or "")[:200]
            raise InvalidMessage(f"a fault without one detail element: {text!r}")
        name = etree.QName(detail[0]).localname
        shape = self._operations[operation].faults.get(name)
        if shape is None:
            raise InvalidMessage(f"a fault that {operation} does not declare: {name}")
        validate(detail[0], self._contract, expected=name)
        return DeclaredFault(name, shape.read(detail[0]))


_NAMESPACES = {"soap-env": ENVELOPE_NAMESPACE}
