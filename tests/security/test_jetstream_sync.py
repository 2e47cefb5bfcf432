"""JetStream writes to the disk what it has acknowledged: a power cut loses at most what came in the last 200 ms."""

from adapters.embedded import EmbeddedServers


def test_the_embedded_server_syncs_every_200_ms(nats_server: EmbeddedServers) -> None:
    """A server with an unknown setting or value does not start."""
    [jetstream] = [
        line
        for line in (nats_server.data_dir / "nats" / "nats.conf").read_text().splitlines()
        if line.startswith("jetstream")
    ]
    assert 'sync_interval: "200ms"' in jetstream
    assert nats_server.running
