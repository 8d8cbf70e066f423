"""One scheme by flags."""

from __future__ import annotations

import pytest

from udamon.core.attrs import Attrs
from udamon.core.scheme import U32_MAX, U64_MAX, AccessPattern, Action, Bounds, Quota, Scheme
from udamon.errors import UsageError
from udamon.modules.single import FLAGS, scheme_of

ALL_FLAGS = {
    "min-size": "4KiB",
    "max-size": "1 GiB",
    "min-accesses": "5%",
    "max-accesses": "50%",
    "min-age": "5s",
    "max-age": "100",
    "apply-interval": "2s",
    "quota-ms": "10",
    "quota-bytes": "64M",
    "quota-reset-interval-ms": "500",
    "target-nid": "1",
}


def test_all_flags() -> None:
    assert set(ALL_FLAGS) == set(FLAGS)
    assert scheme_of(Action.MIGRATE_COLD, ALL_FLAGS).at(Attrs(5_000, 100_000)) == Scheme(
        AccessPattern(Bounds(4096, 1 << 30), Bounds(1, 10), Bounds(50, 100)),
        Action.MIGRATE_COLD,
        2_000_000,
        Quota(10, 64 << 20, 500),
        target_nid=1,
    )


def test_a_quota_is_for_a_second_unless_it_is_said() -> None:
    scheme = scheme_of(Action.PAGEOUT, {"quota-bytes": "1M"}).at(Attrs())
    assert scheme.quotas == Quota(bytes=1 << 20, reset_interval_ms=1_000)
    assert scheme.access_pattern == AccessPattern(Bounds(0, U64_MAX), Bounds(0, U32_MAX), Bounds(0, U32_MAX))


@pytest.mark.parametrize(
    ("action", "flags", "sentence"),
    [
        ("pageout", {"min-age": "old"}, "--min-age: 'old' is not a time; write it like 5ms, 100us or 1.5s."),
        (
            "pageout",
            {"quota-bytes": "x"},
            "--quota-bytes: 'x' is not a size; write it like 4096, 4KiB or 1.5G.",
        ),
        (
            "pageout",
            {"min-size": "2M", "max-size": "1M"},
            "--min-size, --max-size: the minimum 2097152 is above the maximum 1048576; swap them.",
        ),
        (
            "pageout",
            {"min-age": "5s", "max-age": "1s"},
            "--min-age, --max-age: the minimum is above the maximum; swap them.",
        ),
        ("migrate_hot", {}, "migrate_hot needs a node to migrate to: give --target-nid."),
    ],
)
def test_errors_name_the_flag(action: str, flags: dict[str, str], sentence: str) -> None:
    with pytest.raises(UsageError) as raised:
        scheme_of(Action(action), flags)
    assert str(raised.value) == sentence
