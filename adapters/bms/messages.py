"""The XML of the BMS contracts: parses untrusted input and validates requests and responses.

zeep accepts unknown enumeration values, missing elements and even the response of another operation. So every body is
validated here against its contract's schema before zeep reads it.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from lxml import etree

ENVELOPE_NAMESPACE = "http://schemas.xmlsoap.org/soap/envelope/"
FAULT_TAG = f"{{{ENVELOPE_NAMESPACE}}}Fault"
TRACE_TAG = "{urn:gridproof:trace:1}traceparent"
"""The header of an envelope with the W3C `traceparent`, for a BMS whose facility asks for it."""


@dataclass(frozen=True)
class Contract:
    """A packaged WSDL with the XSD of its messages."""

    name: str
    """Of both files, without the extension."""
    namespace: str
    """Of the messages."""
    binding: str


TWO_PHASE = Contract(
    "building_control", "urn:gridproof:bms:1", "{urn:gridproof:bms:1:wsdl}BuildingControlSoap"
)
SINGLE_PHASE = Contract(
    "setpoint_control",
    "urn:gridproof:bms:setpoints:1",
    "{urn:gridproof:bms:setpoints:1:wsdl}SetpointControlSoap",
)


class InvalidMessage(ValueError):
    """A message that the contract does not allow; the text says where it differs."""


def contract_folder() -> Traversable:
    """The folder of the packaged contracts."""
    return files("adapters.bms").joinpath("wsdl")


@cache
def _schema(contract: Contract) -> etree.XMLSchema:
    document = contract_folder().joinpath(f"{contract.name}.xsd").read_bytes()
    return etree.XMLSchema(etree.fromstring(document))


def parse_envelope(payload: bytes) -> etree._Element:
    """The root of a SOAP 1.1 envelope. Raises InvalidMessage. DTDs are refused; entities are never expanded."""
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(payload, parser=parser)
    except etree.XMLSyntaxError as error:
        raise InvalidMessage(f"not well-formed XML: {error.msg}") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise InvalidMessage("a document type declaration is not allowed")
    if root.tag != f"{{{ENVELOPE_NAMESPACE}}}Envelope":
        raise InvalidMessage(f"not a SOAP 1.1 envelope: {root.tag}")
    return root


def body_element(envelope: etree._Element) -> etree._Element:
    """The one element inside the envelope's body."""
    bodies = envelope.findall(f"{{{ENVELOPE_NAMESPACE}}}Body")
    if len(bodies) != 1 or len(bodies[0]) != 1:
        raise InvalidMessage("the envelope holds no single body element")
    return bodies[0][0]


def validate(element: etree._Element, contract: Contract, *, expected: str) -> None:
    """Raises InvalidMessage unless `element` is the contract's `expected` and valid against its schema."""
    if element.tag != f"{{{contract.namespace}}}{expected}":
        raise InvalidMessage(f"expected {expected}, found {element.tag}")
    schema = _schema(contract)
    if not schema.validate(element):
        errors = "; ".join(entry.message for entry in list(schema.error_log)[:3])
        raise InvalidMessage(f"{expected} is not valid: {errors}")
