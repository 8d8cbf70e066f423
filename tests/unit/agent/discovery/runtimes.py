"""Made-up state of container runtimes, in the forms that they write."""

from __future__ import annotations

import json
from pathlib import Path

from udamon.agent.discovery.places import Places

UID = "2c48913c-b29f-11e7-9350-020968147796"


class Node:
    """A root directory with the state of whatever is put on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.places = Places().below(root)

    def write(self, path: str, document: object) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(document if isinstance(document, str) else json.dumps(document))
        return file

    def docker(self, container: str, name: str, labels: object = None) -> Path:
        config = {"Image": "nginx:1.27", "Labels": labels, "Hostname": container[:12]}
        document = {"ID": container, "Name": f"/{name}", "Config": config, "State": {"Running": True}}
        return self.write(f"var/lib/docker/containers/{container}/config.v2.json", document)

    def containerd(
        self, container: str, namespace: str, annotations: object, root: str = "run/containerd"
    ) -> Path:
        path = f"{root}/io.containerd.runtime.v2.task/{namespace}/{container}/config.json"
        return self.write(path, {"ociVersion": "1.2.0", "annotations": annotations, "linux": {}})

    def cri(self, container: str, name: str | None, pod: str = "web-0", namespace: str = "shop") -> Path:
        """As containerd's CRI plugin annotates a container, or, without a name, the sandbox of a pod."""
        cri = "io.kubernetes.cri."
        annotations = {
            f"{cri}container-type": "container" if name else "sandbox",
            f"{cri}sandbox-id": "f" * 64,
            f"{cri}sandbox-name": pod,
            f"{cri}sandbox-namespace": namespace,
            f"{cri}sandbox-uid": UID,
        }
        if name:
            annotations |= {f"{cri}container-name": name, f"{cri}image-name": "docker.io/library/redis:7"}
        return self.containerd(container, "k8s.io", annotations)

    def crio(self, container: str, name: str, pod: str = "web-0", namespace: str = "shop") -> Path:
        annotations = {
            "io.container.manager": "cri-o",
            "io.kubernetes.container.name": name,
            "io.kubernetes.pod.name": pod,
            "io.kubernetes.pod.namespace": namespace,
            "io.kubernetes.pod.uid": UID,
            "io.kubernetes.cri-o.ContainerType": "sandbox" if name == "POD" else "container",
            "io.kubernetes.cri-o.ImageName": "quay.io/app:2",
            "io.kubernetes.cri-o.Labels": json.dumps({"app": "shop"}),
            "io.kubernetes.cri-o.Annotations": json.dumps({"udamon.dev/class": "batch"}),
        }
        path = f"run/containers/storage/overlay-containers/{container}/userdata/config.json"
        return self.write(path, {"annotations": annotations})

    def podman(self, names: dict[str, str], file: str = "containers.json") -> Path:
        entries = [
            {"id": container, "names": [name], "image": "0" * 64, "metadata": json.dumps({"name": name})}
            for container, name in names.items()
        ]
        return self.write(f"var/lib/containers/storage/overlay-containers/{file}", entries)

    def log(
        self, container: str, name: str, pod: str = "web-0", namespace: str = "shop", link: bool = True
    ) -> None:
        """As the kubelet names a container's log file, and, with `link`, the link to it."""
        file = self.write(f"var/log/pods/{namespace}_{pod}_{UID}/{name}/0.log", "")
        if link:
            links = self.root / "var/log/containers"
            links.mkdir(parents=True, exist_ok=True)
            (links / f"{pod}_{namespace}_{name}-{container}.log").symlink_to(file)
