"""The OCI image: a root file system of Debian's smallest packages with udamon in it, as one layer.

mmdebstrap makes the same bytes of the same packages; umoci makes an image of them.
"""

from __future__ import annotations

import json
import subprocess
import tarfile
from datetime import UTC, datetime
from pathlib import Path

from scripts.dist import payload, source, tools
from scripts.stages import Failed, run
from udamon import __version__, built

RELEASE, PYTHON = "bookworm", "3.11"
LIMIT = 150 << 20
"""Bytes of compressed layers."""
USER = 65532
"""Nobody in particular: no other system gives this number to anyone, and Kubernetes can tell that it is not root."""

MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
NOT_NEEDED = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "/usr/share/info/*",
    "/var/cache/*",
)


def build(wheel: Path, out: Path, machine: str) -> Path:
    """An archive of an OCI image layout."""
    tools.need("mmdebstrap", "umoci")
    udamon = payload.build(wheel, machine, PYTHON, "image")
    place = source.fresh(f"image-{machine}")
    layer = place / "layer.tar"
    hooks = [
        f"copy-in {udamon}/opt {udamon}/etc /",
        'chroot "$1" /opt/udamon/bin/python -I -m compileall -q --invalidation-mode unchecked-hash /opt/udamon/lib',
        'ln -s ../../opt/udamon/bin/udamon "$1/usr/bin/udamon"',
        f'echo "udamon:x:{USER}:{USER}::/tmp:/usr/sbin/nologin" >>"$1/etc/passwd"',
        f'echo "udamon:x:{USER}:" >>"$1/etc/group"',
        'rm -rf "$1"/var/lib/apt/lists/* "$1"/var/log/* "$1/var/cache"/*',
    ]
    command: list[str | Path] = [
        "mmdebstrap", "--variant=essential", f"--architectures={MACHINES[machine]}", "--mode=root",
        f"--include=python{PYTHON},libstdc++6",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in NOT_NEEDED),
        *(f"--customize-hook={hook}" for hook in hooks), RELEASE, layer,
    ]  # fmt: skip
    run(command, "mmdebstrap", env=source.reproducible())
    layout = _image(place, layer, MACHINES[machine])
    if (size := compressed(layout)) > LIMIT:
        raise Failed(
            f"the image's layers have {size / (1 << 20):.0f} MiB compressed, more than {LIMIT >> 20}"
        )
    made = out / f"udamon-{__version__}-{MACHINES[machine]}.oci.tar"
    files = {
        str(path.relative_to(layout)): (path.read_bytes(), False)
        for path in layout.rglob("*")
        if path.is_file()
    }
    source.write_tar(made, files)
    return made


def _image(place: Path, layer: Path, machine: str) -> Path:
    layout = place / "layout"
    image = f"{layout}:{__version__}"
    when = datetime.fromtimestamp(source.epoch(), UTC).isoformat().replace("+00:00", "Z")
    history = [
        "--history.created",
        when,
        "--history.author",
        "udamon",
        "--history.created_by",
        "scripts/dist",
    ]
    labels = {
        "org.opencontainers.image.title": "udamon",
        "org.opencontainers.image.version": __version__,
        "org.opencontainers.image.revision": built.commit(),
        "org.opencontainers.image.licenses": "Apache-2.0",
    }
    config = [
        "--created", when, "--author", "udamon", "--os", "linux", "--architecture", machine,
        f"--config.user={USER}:{USER}", "--config.workingdir=/tmp", "--config.entrypoint=/usr/bin/udamon",
        "--config.cmd=--help", "--config.env=PATH=/usr/bin:/bin", "--config.env=LC_ALL=C.UTF-8",
        *(f"--config.label={name}={value}" for name, value in labels.items()),
    ]  # fmt: skip
    steps: list[list[str | Path]] = [
        ["init", "--layout", layout],
        ["new", "--image", image],
        ["raw", "add-layer", "--image", image, *history, layer],
        ["config", "--image", image, *config, *history],
        ["gc", "--layout", layout],
    ]
    for step in steps:
        run(["umoci", *step], f"umoci {step[0]}", env=source.reproducible())
    return layout


def compressed(layout: Path) -> int:
    """Bytes of the image's layers."""
    index = json.loads((layout / "index.json").read_text())
    (entry,) = index["manifests"]
    manifest = json.loads(_blob(layout, entry["digest"]).read_text())
    return sum(layer["size"] for layer in manifest["layers"])


def _blob(layout: Path, digest: str) -> Path:
    kind, _, name = digest.partition(":")
    return layout / "blobs" / kind / name


def unpack(archive: Path, place: Path) -> Path:
    """A bundle that a runtime can run: rootfs and config.json."""
    layout, bundle = place / "layout", place / "bundle"
    with tarfile.open(archive) as made:
        made.extractall(layout, filter="data")
    subprocess.run(["umoci", "unpack", "--image", f"{layout}:{__version__}", bundle], check=True)
    return bundle
