"""Commands from Debian packages: their path, or a skip or failure with the reason."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

REQUIRE = "GRIDPROOF_REQUIRE_DEBIAN"
_PACKAGE = {
    "influxd": "influxdb",
    "postgres": "postgresql",
    "pg_isready": "postgresql",
    "etcd": "etcd-server",
    "nft": "nftables",
    "ip": "iproute2",
    "amtool": "prometheus-alertmanager",
    "mosquitto_pub": "mosquitto-clients",
    "systemd-analyze": "systemd",
}


def debian_command_path(command: str, environ: Mapping[str, str]) -> Path:
    """The path of `command`, also in the folders of daemons that a user's PATH leaves out.

    Skips the test if it is absent; fails it with GRIDPROOF_REQUIRE_DEBIAN=1, as .ci/run sets it.
    """
    own = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    search = os.pathsep.join([environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", *own])
    if found := shutil.which(command, path=search):
        return Path(found)
    reason = f"{command} is absent; apt-get install {_PACKAGE.get(command, command)}"
    if environ.get(REQUIRE) == "1":
        pytest.fail(f"{reason} ({REQUIRE}=1)")
    pytest.skip(reason)
