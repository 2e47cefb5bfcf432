"""Requests, the dependencies of the web process, and signatures (docs/architecture.md, "One place for each job")."""

import ast
from collections.abc import Callable, Iterator

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT, parsed, place, python_files

Check = Callable[[ast.Module], Iterator[ast.AST]]


def offenders(check: Check, *folders: str, allowed: tuple[str, ...]) -> list[str]:
    """Where the modules below `folders` do the job, except in the `allowed` ones."""
    places = {ROOT / path for path in allowed}
    files = [file for file in python_files(*folders) if file not in places]
    return [place(file, node) for file in files for node in check(parsed(file))]


def calls(tree: ast.AST, *names: str) -> Iterator[ast.AST]:
    """Calls of functions under the given dotted names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in names:
            yield node


def macs(tree: ast.Module) -> Iterator[ast.AST]:
    return calls(tree, "hmac.new", "hmac.digest", "hmac.HMAC")


def test_requests_are_signed_and_checked_in_one_place() -> None:
    places = ("application/access/signature.py", "application/event_store/snapshot_mac.py")
    assert offenders(macs, *PACKAGES, allowed=places) == []
    assert all(list(macs(parsed(ROOT / place))) for place in places)


def applications(tree: ast.Module) -> Iterator[ast.AST]:
    """Subclasses of Litestar, which can answer before its router, guard and middlewares."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any("Litestar" in ast.unparse(base) for base in node.bases):
            yield node


def test_every_request_passes_the_router_and_the_guard() -> None:
    assert offenders(applications, "interfaces/web", allowed=()) == []


def other_web_state(tree: ast.Module) -> Iterator[ast.AST]:
    """Members of an application's state besides `web`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith(
            ("app.state", "['app'].state")
        ):
            yield from () if ast.unparse(node.slice) == "'web'" else (node,)


def looked_up_dependencies(tree: ast.Module) -> Iterator[ast.AST]:
    return calls(tree, "web_of", "edge.web_of")


def test_the_web_process_has_one_set_of_dependencies_which_handlers_are_given() -> None:
    assert offenders(other_web_state, "interfaces/web", "interfaces/bootstrap", allowed=()) == []
    assert offenders(looked_up_dependencies, "interfaces/web/api", allowed=()) == []


@pytest.mark.parametrize(
    ("check", "code"),
    [
        (macs, "import hmac\nhmac.new(secret, body, 'sha256')"),
        (macs, "hmac.digest(secret, body, 'sha256')"),
        (applications, "class Fast(litestar.Litestar):\n    pass"),
        (other_web_state, "request.app.state['cache']"),
        (other_web_state, "scope['app'].state['metrics']"),
        (looked_up_dependencies, "web = web_of(request)"),
    ],
)
def test_a_second_place_is_detected(check: Check, code: str) -> None:
    assert list(check(ast.parse(code)))
