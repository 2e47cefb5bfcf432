"""L6: the embedded nats-server tells nobody who is connected to it."""

from pathlib import Path

from adapters.embedded import EmbeddedServers


def listening_ports(pid: int) -> set[int]:
    """The TCP ports on which the process listens."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        target = str(descriptor.readlink())
        if target.startswith("socket:["):
            sockets.add(target.removeprefix("socket:[").rstrip("]"))
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


def test_it_listens_for_clients_and_meters_and_has_no_monitoring(nats_server: EmbeddedServers) -> None:
    nats = nats_server.nats
    assert nats.pid is not None
    assert listening_ports(nats.pid) == {nats.ports["nats"], nats.ports["mqtt"]}
