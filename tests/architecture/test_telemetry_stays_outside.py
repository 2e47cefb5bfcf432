"""Readings are not domain events, and read models never read them (ADR 0006)."""

from tests.architecture.source_tree import imported_modules, parsed, place, python_files

TELEMETRY_PORTS = (
    "application.ports.telemetry.store",
    "application.ports.telemetry.stream",
    "application.ports.telemetry.meter_feed",
)


def test_aggregates_read_models_and_the_saga_do_not_reach_telemetry() -> None:
    found = [
        f"{place(file, node)} imports {module}"
        for file in python_files("domain", "projections", "application/sagas", "application/handlers")
        for node, module in imported_modules(parsed(file))
        if module.startswith(TELEMETRY_PORTS)
    ]
    assert found == []


def test_the_telemetry_ports_exist_where_this_test_expects_them() -> None:
    """Otherwise the test above would check nothing after a port is renamed."""
    ports = {
        f"application.ports.telemetry.{file.stem}" for file in python_files("application/ports/telemetry")
    }
    assert set(TELEMETRY_PORTS) - ports == set()
