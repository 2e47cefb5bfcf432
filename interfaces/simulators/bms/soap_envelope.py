"""SOAP functions of the simulated BMSs: safe parsing and writing of envelopes, and the packaged contracts."""

from functools import cache
from importlib.resources import files
from typing import cast

from lxml import etree

_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
# By name: the simulators share the contract files with the adapter, but none of its code.
_CONTRACT_PACKAGE = "adapters.bms"


class InvalidRequest(ValueError):
    """The request violates the contract; nothing was done."""


def contract_document(name: str) -> bytes:
    """A WSDL or XSD, as packaged."""
    return files(_CONTRACT_PACKAGE).joinpath("wsdl", name).read_bytes()


@cache
def _schema(name: str) -> etree.XMLSchema:
    return etree.XMLSchema(etree.fromstring(contract_document(name)))


def valid_body(payload: bytes, schema_name: str) -> etree._Element:
    """The one body element, valid against the contract. Raises InvalidRequest."""
    element = _body(payload)
    schema = _schema(schema_name)
    if not schema.validate(element):
        raise InvalidRequest(str(schema.error_log.last_error.message)[:500])
    return element


def _body(payload: bytes) -> etree._Element:
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(payload, parser=parser)
    except etree.XMLSyntaxError as error:
        raise InvalidRequest(f"not well-formed XML: {error.msg}") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise InvalidRequest("a document type declaration is not allowed")
    body = root.find(f"{{{_SOAP}}}Body")
    if root.tag != f"{{{_SOAP}}}Envelope" or body is None or len(body) != 1:
        raise InvalidRequest("not a SOAP 1.1 envelope with one body element")
    return body[0]


def envelope(content: etree._Element) -> bytes:
    root = etree.Element(f"{{{_SOAP}}}Envelope", nsmap={"soap": _SOAP})
    etree.SubElement(root, f"{{{_SOAP}}}Body").append(content)
    return cast(bytes, etree.tostring(root, xml_declaration=True, encoding="utf-8"))


def fault(code: str, text: str, detail: etree._Element) -> bytes:
    element = etree.Element(f"{{{_SOAP}}}Fault", nsmap={"soap": _SOAP})
    etree.SubElement(element, "faultcode").text = code
    etree.SubElement(element, "faultstring").text = text
    etree.SubElement(element, "detail").append(detail)
    return envelope(element)
