"""The kustomize base: what the Helm chart renders by its defaults, so the chart is the one source.

The chart is rendered by Helm's own engine, which the extra `deploy` brings as a library.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import helm_python
import yaml

from scripts.stages import ROOT

CHART = ROOT / "packaging" / "helm" / "udamon-agent"
BASE = ROOT / "packaging" / "kubernetes" / "base"
NAME = NAMESPACE = "udamon-agent"
HEAD = "# Made of packaging/helm/udamon-agent by python -m scripts.deploy.\n"


def rendered(values: dict[str, Any] | None = None) -> dict[str, str]:
    """The text of each manifest, by the name of its template. Raises helm_python.HelmError for values that the chart's
    schema refuses."""
    with helm_python.Chart.load(str(CHART)) as chart:
        chart.validate_schema(values or {})
        found = chart.render(values or {}, name=NAME, namespace=NAMESPACE)
    return {Path(name).name: text for name, text in found.items() if text.strip() and name.endswith(".yaml")}


def files() -> dict[Path, str]:
    """The text of each file."""
    manifests = {BASE / name: HEAD + text.strip() + "\n" for name, text in rendered().items()}
    names = sorted(path.name for path in manifests)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "resources": ["namespace.yaml", *names],
    }
    # The pod security standard that hostPID and hostPath take.
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "privileged"}},
    }
    return manifests | {
        BASE / "kustomization.yaml": HEAD + yaml.safe_dump(kustomization, sort_keys=False),
        BASE / "namespace.yaml": HEAD + yaml.safe_dump(namespace, sort_keys=False),
    }
