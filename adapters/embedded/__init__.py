"""The real servers, out of wheels, as child processes: PostgreSQL 18, NATS (JetStream and MQTT), Valkey.

    with EmbeddedServers(data_dir) as servers:      # or start() / stop(); postgres=False etc. leaves one out
        servers.watch(on_restart, on_failure)       # optional: brings back what ends by itself, same ports
        servers.database_url                        # role gridproof_app (may log in; the migrations grant the rest)
        servers.migration_database_url              # role gridproof_owner, owns the database `gridproof`
        servers.admin_database_url                  # the superuser, on the database `postgres`
        servers.nats_url                            # nats://gridproof:...@127.0.0.1:port
        servers.mqtt_url, servers.meters_mqtt_url   # mqtt://gridproof:...  and  mqtt://meters:... (readings only)
        servers.redis_url                           # redis://:...@127.0.0.1:port/0
        servers.postgres.kill(); servers.postgres.start()   # kill -9, and back on the same port

The folder keeps everything: postgres/pgdata, nats/jetstream, valkey, logs/<server>.log, and servers.json (mode
0600) with the passwords and the last ports. Ports are free ones, the last ones where possible. One launcher a
folder (embedded.lock); several folders side by side. Children die with the launcher, also when it is killed with
-9. Failures are `EmbeddedServerError`s (adapters.embedded.errors): BinaryMissing, DataFolderInUse, DiskUnusable,
OtherMigrations, PortTaken, ServerExited, ServerNotReady, ForeignServer, CannotDropRoot; each says what to do next.

`child_process.spawn` starts any other child in the same way; bootstrap hands it to `interfaces.system.supervisor`.
"""

from adapters.embedded.child_process import spawn
from adapters.embedded.errors import EmbeddedServerError
from adapters.embedded.servers import EmbeddedServers

__all__ = ["EmbeddedServerError", "EmbeddedServers", "spawn"]
