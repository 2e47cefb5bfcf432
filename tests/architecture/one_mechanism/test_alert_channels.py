"""People are told of alerts, and probes are served, in one place each (docs/architecture.md)."""

import ast

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT, parsed, place, python_files

MAIL = ROOT / "adapters/smtp.py"
PROBES = ROOT / "interfaces/workers/loops/probe_server.py"
SERVERS = {"start_http_server", "start_wsgi_server", "make_server", "WSGIServer", "make_wsgi_app"}


def uses_of_mail(tree: ast.Module) -> list[ast.AST]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom) and "smtplib" in ast.unparse(node)
    ]


def uses_of_servers(tree: ast.Module) -> list[ast.AST]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and SERVERS & {alias.name for alias in node.names}
    ]


def test_mail_is_sent_in_one_place() -> None:
    files = [file for file in python_files(*PACKAGES) if "smtplib" in file.read_text() and file != MAIL]
    assert [place(file, node) for file in files for node in uses_of_mail(parsed(file))] == []
    assert uses_of_mail(parsed(MAIL))


def test_probes_and_metrics_of_workers_are_served_in_one_place() -> None:
    files = [file for file in python_files(*PACKAGES) if file != PROBES]
    assert [place(file, node) for file in files for node in uses_of_servers(parsed(file))] == []
    assert uses_of_servers(parsed(PROBES))


@pytest.mark.parametrize(
    "source",
    ["import smtplib", "from smtplib import SMTP", "from prometheus_client import start_http_server"],
)
def test_another_one_is_detected(source: str) -> None:
    tree = ast.parse(source)
    assert uses_of_mail(tree) or uses_of_servers(tree)
