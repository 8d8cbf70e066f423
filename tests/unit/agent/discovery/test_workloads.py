"""What pods belong to, by names as controllers make them."""

from __future__ import annotations

import pytest

from udamon.agent.discovery.workloads import workload_of


@pytest.mark.parametrize(
    ("pod", "workload"),
    [
        ("front-7d9f8b6c5-x2x4z", "front"),
        ("front-end-5b47f8ffb6-zzk7d", "front-end"),
        ("front-84b9c5-x2x4z", "front"),
        ("node-exporter-x2x4z", "node-exporter"),
        ("backup-29374560-x2x4z", "backup"),
        ("backup-1624543200-x2x4z", "backup"),
        ("postgres-0", "postgres"),
        ("postgres-main-12", "postgres-main"),
        ("etcd-ip-10-0-0-7.ec2.internal", "etcd"),
        ("redis-cache", "redis-cache"),
        ("redis", "redis"),
        ("my-nginx", "my-nginx"),
        ("-x2x4z", "-x2x4z"),
        ("", ""),
        ("2a6f6f2c-7d5e-4b0a-9d1c-0242ac110002", "2a6f6f2c-7d5e-4b0a-9d1c-0242ac110002"),
    ],
)
def test_workload_of(pod: str, workload: str) -> None:
    assert workload_of(pod, "ip-10-0-0-7.ec2.internal") == workload
