"""Which groups are services, of which kind, by paths of real nodes and by any text."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udamon.agent.discovery.paths import ROOT, full_path, key_of_service, kind_of, label_of
from udamon.linux.cgroup.names import parse

A, B = "a" * 64, "0123456789abcdef" * 4


REAL_PATHS = tomllib.loads(Path(__file__).with_name("real_paths.toml").read_text())["path"]


@pytest.mark.parametrize("real", REAL_PATHS, ids=lambda real: f"{real['source']}: {real['group'][:20]}")
def test_real_nodes(real: dict[str, str]) -> None:
    group = real["group"]
    key = os.path.relpath(group, "/")
    assert key_of_service(os.path.normpath(f"{key}/{real.get('below', '')}")) == key
    name = parse(group)
    said = (kind_of(name), label_of(key, name), name.pod, name.qos)
    assert said == (real["kind"], real["label"], real.get("pod"), real.get("qos"))


@pytest.mark.parametrize(
    ("top", "key", "service"),
    [
        ("/", ROOT, ROOT),
        ("/", "a/b", "a/b"),
        ("/a", "b", "b"),
        ("/system.slice", "x.service/y", "x.service"),
        ("/system.slice/x.service", ROOT, ROOT),
        ("/system.slice/x.service", "y", ROOT),
        ("/system.slice/x.service/y", "z", ROOT),
        (f"/docker/{A}/init", f"docker/{B}/init", f"docker/{B}"),
    ],
)
def test_below_a_group_that_is_watched(top: str, key: str, service: str) -> None:
    assert key_of_service(key, top) == service


SEGMENTS = st.one_of(
    st.text(min_size=1, max_size=12).filter(lambda text: "/" not in text and text not in (".", "..")),
    st.sampled_from(
        [
            "system.slice", "a.service", "b.scope", "docker", f"docker-{A}.scope", A, B, "kubepods", "burstable", "ecs",
            "pod0123456789abcdef0123456789abcdef", f"cri-containerd-{B}.scope", "0123456789abcdef0123456789abcdef",
            f"kubepods-pod0123456789abcdef0123456789abcdef.slice:cri-containerd:{A}", "lxc", "a:b:c", "x\\x2d",
        ]
    ),
)  # fmt: skip
KEYS = st.lists(SEGMENTS, min_size=1, max_size=8).map("/".join)


@pytest.mark.parametrize(
    ("top", "key", "label"),
    [
        ("/", ROOT, "/"),
        ("/batch/jobs", ROOT, "jobs"),
        ("/batch/jobs", "one/step", "one/step"),
        ("/system.slice", "a.service", "a.service"),
        ("/system.slice/a.service", ROOT, "a.service"),
        ("/user.slice/user@1.service", "app.slice/b.scope", "b.scope"),
        ("/docker", A, "a" * 12),
        (f"/docker/{A}", ROOT, "a" * 12),
    ],
)
def test_labels_below_a_group_that_is_watched(top: str, key: str, label: str) -> None:
    assert label_of(key, parse(full_path(key, top)), top) == label


@given(st.text())
def test_no_text_raises(text: str) -> None:
    name = parse(text)
    assert kind_of(name)
    assert label_of(text, name)


@given(KEYS, KEYS)
def test_every_group_is_in_one_service(key: str, top: str) -> None:
    """The service of a group is the group or one above it, and a service's own group is in no other."""
    service = key_of_service(key, top)
    assert service == ROOT or f"{key}/".startswith(f"{service}/")
    assert key_of_service(service, top) == service


@given(KEYS, KEYS)
def test_what_is_watched_divides_no_service(key: str, top: str) -> None:
    """Where only a part of the tree is watched, a group is in the same service, or in that of the part's own group
    where its service begins above."""
    above = full_path(ROOT, f"/{top}")
    whole = full_path(key_of_service(full_path(key, above)[1:]))
    part = full_path(key_of_service(key, above), above)
    assert part == (whole if whole.startswith(f"{above}/") else above)
