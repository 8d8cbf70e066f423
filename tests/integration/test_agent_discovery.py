"""Discovery on real control groups, version 1 and 2, which the tests make below the one they run in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.programs import remove_group, started
from tests.waiting import until
from udamon.agent.discovery.hierarchy import WatchedGroup
from udamon.agent.discovery.model import Service, ServiceEnded
from udamon.agent.discovery.node import NodeDiscovery
from udamon.linux.cgroup.groups import cgroup_mounts, directory_in

A = "0123456789abcdef" * 4


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def root(request: pytest.FixtureRequest) -> Iterator[Path]:
    for mount in cgroup_mounts():
        if mount.version != request.param or (mount.version == 1 and "memory" not in mount.controllers):
            continue
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
        own = [path for _, names, path in lines if set(names.split(",")) - {""} <= mount.controllers]
        above = directory_in(own[-1], mount) if own else None
        root = (above or mount.point) / f"udamon-test-{os.getpid()}"
        try:
            root.mkdir()
        except OSError:
            continue
        yield root
        for directory, _, _ in os.walk(root, topdown=False):
            remove_group(Path(directory))
        return
    pytest.skip(f"no control group of version {request.param} can be made here")


@pytest.mark.needs("cgroup")
def test_the_watched_group_is_removed_and_made_again(root: Path) -> None:
    """The kernel tells nobody; what is below the new one is found all the same."""
    (root / "before").mkdir()
    found = NodeDiscovery(WatchedGroup(root))
    assert {change.key for change in found.changes()} == {".", "before"}
    remove_group(root / "before")
    remove_group(root)
    assert {change.key for change in found.changes() if isinstance(change, ServiceEnded)} == {".", "before"}
    assert ["is gone" in remark for remark in found.remarks()] == [True]
    (root / "after").mkdir(parents=True)
    assert {change.key for change in found.changes()} == {".", "after"}
    assert found.remarks() == []
    found.close()


@pytest.mark.needs("cgroup")
def test_services_of_real_groups(root: Path) -> None:
    (root / "system.slice/a.service/worker").mkdir(parents=True)
    found = NodeDiscovery(WatchedGroup(root))

    def changed() -> set[object]:
        changes: list[Service | ServiceEnded] = []

        def came() -> bool:
            changes.extend(found.changes())
            return bool(changes)

        until(came, "changes")
        return {one if isinstance(one, ServiceEnded) else one.key for one in changes}

    try:
        assert {one.key for one in found.changes()} == {".", "system.slice", "system.slice/a.service"}
        with started(["sleep", "100"]) as one, started(["sleep", "100"]) as other:
            (root / "system.slice/a.service/worker/cgroup.procs").write_text(str(one.pid))
            container = root / f"docker/{A}/init"
            container.mkdir(parents=True)
            (container / "cgroup.procs").write_text(str(other.pid))
            assert changed() == {"docker", f"docker/{A}"}
            members = {one.key: found.members(one) for one in found.services() if found.members(one)}
            assert members == {"system.slice/a.service": [one.pid], f"docker/{A}": [other.pid]}
        remove_group(container)
        remove_group(container.parent)
        assert changed() == {ServiceEnded(f"docker/{A}")}
    finally:
        found.close()


@pytest.mark.needs("cgroup")
def test_real_groups_that_come_and_go(root: Path) -> None:
    """The kernel tells of every one: nothing is read twice, and what is left is what is there."""
    found = NodeDiscovery(WatchedGroup(root))
    known: set[str] = set()
    try:
        for number in range(300):
            (root / f"{number}.service/inner").mkdir(parents=True)
            if number % 10:
                (root / f"{number}.service/inner").rmdir()
                (root / f"{number}.service").rmdir()
            if number % 7 == 0:
                for change in found.changes():
                    (known.remove if isinstance(change, ServiceEnded) else known.add)(change.key)
        for change in found.changes():
            (known.remove if isinstance(change, ServiceEnded) else known.add)(change.key)
        assert known == {".", *(f"{number}.service" for number in range(0, 300, 10))}
        assert found.remarks() == []
    finally:
        found.close()
