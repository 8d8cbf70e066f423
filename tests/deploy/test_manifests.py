"""The Helm chart and what kustomize has of it: of Kubernetes' schemas, least privilege, equal."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from typing import Any

import pytest
import yaml

from udamon import __version__
from udamon.agent.config import parse_settings

helm_python = pytest.importorskip("helm_python", reason="the extra `deploy` is not installed")
kubernetes_validate = pytest.importorskip("kubernetes_validate")
manifests = pytest.importorskip("scripts.deploy.manifests")

VERSIONS = ["1.30", "1.33", kubernetes_validate.latest_version()]
TLS: dict[str, Any] = {"tls": {"secretName": "udamon-tls"}}
MONITORED = TLS | {"podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
ALL_SET: dict[str, Any] = MONITORED | {
    "imagePullSecrets": [{"name": "registry"}],
    "priorityClassName": "system-node-critical",
    "podAnnotations": {"a": "b"},
    "affinity": {"nodeAffinity": {}},
    "appArmorProfile": None,
}


def documents(values: dict[str, Any] | None = None) -> dict[str, Any]:
    return {name: yaml.safe_load(text) for name, text in manifests.rendered(values).items()}


def test_files_are_as_rendered() -> None:
    assert {path: path.read_text() for path in manifests.BASE.iterdir()} == manifests.files()


def test_helm_finds_nothing_wrong() -> None:
    found = helm_python.lint(str(manifests.CHART))
    assert found["errors"] == []
    assert {one["error"] for one in found["messages"]} <= {"icon is recommended"}


def test_it_is_of_this_version() -> None:
    chart = yaml.safe_load((manifests.CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", [{}, TLS, ALL_SET], ids=["default", "tls", "all"])
def test_it_is_of_kubernetes_schemas(values: dict[str, Any], version: str) -> None:
    """Strictly: a field that is not in them is an error. They know nothing of the Prometheus operator's kinds."""
    for document in documents(values).values():
        if "monitoring.coreos.com" not in document["apiVersion"]:
            kubernetes_validate.validate(document, version, strict=True)


def test_the_schema_refuses() -> None:
    document = documents()["daemonset.yaml"]
    document["spec"]["template"]["spec"]["hostPid"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)


@pytest.mark.parametrize(
    "values",
    [
        {"podMonitor": {"enabled": True}},  # nobody can scrape a pod's loopback
        {"nosuch": 1},
        {"port": 0},
        {"hostPaths": ["../etc"]},
        {"image": {"repository": ""}},
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(helm_python.HelmValuesError):
        manifests.rendered(values)


def test_privileges() -> None:
    pod = documents(TLS)["daemonset.yaml"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    security = container["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"], "add": ["SYS_PTRACE", "DAC_OVERRIDE"]}
    assert security["readOnlyRootFilesystem"]
    assert not security["privileged"]
    assert not security["allowPrivilegeEscalation"]
    assert not pod["automountServiceAccountToken"]
    assert pod["hostPID"]
    assert not pod.get("hostNetwork")
    writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/tmp", "/var/lib/udamon", "/run/udamon", "/run/lock/udamon"}
    assert {mount["name"] for mount in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}


@pytest.mark.parametrize(("values", "listen"), [({}, "127.0.0.1:9470"), (TLS, "0.0.0.0:9470")])
def test_the_agent_takes_its_configuration(values: dict[str, Any], listen: str) -> None:
    text = documents(values)["configmap.yaml"]["data"]["agent.toml"]
    settings = parse_settings(text, "agent.toml")
    assert settings.listen == listen
    assert settings.budget == 0.01
    assert tomllib.loads(text)["state"].startswith("/var/lib/udamon/")


def test_rules_are_those_of_prometheus() -> None:
    rules = yaml.safe_load((manifests.CHART.parents[1] / "prometheus" / "udamon.rules.yml").read_text())
    assert documents(MONITORED)["prometheusrule.yaml"]["spec"] == rules


def test_names_of_containers_survive_a_scrape() -> None:
    (endpoint,) = documents(MONITORED)["podmonitor.yaml"]["spec"]["podMetricsEndpoints"]
    assert endpoint["honorLabels"]
    assert endpoint["scheme"] == "https"


def test_a_scrape_verifies_the_certificate() -> None:
    """By the secret's own authority, unless somebody says otherwise."""

    def tls(**more: Any) -> Any:
        monitor = {"enabled": True, **more}
        (endpoint,) = documents(TLS | {"podMonitor": monitor})["podmonitor.yaml"]["spec"][
            "podMetricsEndpoints"
        ]
        return endpoint["tlsConfig"]

    ca = {"secret": {"name": "udamon-tls", "key": "ca.crt"}}
    assert tls() == {"ca": ca, "serverName": "udamon-agent"}
    assert tls(serverName="a.example") == {"ca": ca, "serverName": "a.example"}
    assert tls(tlsConfig={"insecureSkipVerify": True}) == {"insecureSkipVerify": True}


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_kustomize_makes_the_same() -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", manifests.BASE], capture_output=True, text=True, check=True
    )
    built = {one["kind"]: one for one in yaml.safe_load_all(done.stdout)}
    chart = {one["kind"]: one for one in documents().values()}
    assert built.pop("Namespace")["metadata"]["name"] == manifests.NAMESPACE
    assert built == chart
