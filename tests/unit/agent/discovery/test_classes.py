"""Which class a service is in, and classes in a configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udamon.agent.discovery.classes import OFF, Patterns, ServiceClass, class_of, read_class, read_classes
from udamon.agent.discovery.model import Service
from udamon.configuration.tree import parse
from udamon.errors import ConfigError

WAYS = ("refs", "idle")
LABELS = {"namespace": "shop", "pod": "web-0", "container": "redis"}
POD = Service(
    "kubepods/x", Path("/x"), "kubernetes", LABELS, {"udamon.dev/class": "batch", "pod": "label first"}, "crio",
)  # fmt: skip
UNIT = Service(
    "system.slice/getty@tty1.service", Path("/x"), "systemd", {"service": "getty@tty1.service"},
    {"unit": "getty@tty1.service"}, "path",
)  # fmt: skip


@pytest.mark.parametrize(
    ("service", "match", "holds"),
    [
        (POD, {}, True),
        (POD, {"namespace": "shop"}, True),
        (POD, {"namespace": "sho"}, False),
        (POD, {"namespace": "s*p", "container": "red?s"}, True),
        (POD, {"namespace": "s*p", "container": "nginx"}, False),
        (POD, {"namespace": ("kube-*", "shop")}, True),
        (POD, {"namespace": ("kube-*", "test")}, False),
        (POD, {"udamon.dev/class": "batch"}, True),
        (POD, {"pod": "web-*"}, True),
        (POD, {"pod": "label first"}, False),
        (POD, {"kind": "kubernetes"}, True),
        (POD, {"cgroup": "kubepods/*"}, True),
        (POD, {"service": "*"}, False),
        (POD, {"no-such": "*"}, False),
        (UNIT, {"unit": "getty@*.service"}, True),
        (UNIT, {"unit": "GETTY@*"}, False),
        (UNIT, {"namespace": "*"}, False),
    ],
)
def test_what_matches(service: Service, match: dict[str, Patterns], holds: bool) -> None:
    assert ServiceClass("x", match).matches(service) is holds


def test_the_first_class_counts() -> None:
    one, other = ServiceClass("one", {"namespace": "shop"}), ServiceClass("other", {"pod": "web-0"})
    default = ServiceClass()
    assert class_of(POD, (one, other), default) is one
    assert class_of(POD, (other, one), default) is other
    assert class_of(UNIT, (one, other), default) is default


def read(text: str) -> tuple[ServiceClass, ...]:
    return read_classes(parse(text, "agent.toml", toml=True).table({"class": "class"})["class"], WAYS)


def test_classes_of_a_file() -> None:
    assert read("""
        [[class]]
        name = "system"
        match = {namespace = ["kube-system", "monitoring"]}
        via = "off"

        [[class]]
        name = "batch"
        match = {"udamon.dev/class" = "batch", kind = "kubernetes"}
        via = "idle"
        budget = "0.2%"
        max_pause = "5ms"
        longest_age = "30m"
        always_look = true
    """) == (
        ServiceClass("system", {"namespace": ("kube-system", "monitoring")}, OFF),
        ServiceClass(
            "batch", {"udamon.dev/class": "batch", "kind": "kubernetes"}, "idle", 0.002, 5_000_000, 1800, True
        ),
    )  # fmt: skip


def test_the_class_of_all_others() -> None:
    place = parse('budget = "1%"', "agent.toml", toml=True)
    assert read_class(place, WAYS, ServiceClass()) == ServiceClass(budget=0.01)
    with pytest.raises(ConfigError, match=r"^agent.toml:1: match: there is no such key"):
        read_class(parse('match = {kind = "x"}', "agent.toml", toml=True), WAYS, ServiceClass())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('vai = "off"', r"agent.toml:4: class\[0\].vai: there is no such key; known here: name, match, via, budget"),
        ('via = "pte"', r"agent.toml:4: class\[0\].via: 'pte' is no way of looking; take one of refs, idle, off"),
        ('budget = "2"', r"class\[0\].budget: '2' is not a share"),
        ("budget = 0", r"class\[0\].budget: a budget of nothing .* via = .off."),
        ('max_pause = "5"', r"class\[0\].max_pause: the time '5' has no unit"),
        ('longest_age = "7m"', r"class\[0\].longest_age: '7m' is none of the ages that are told: 1 s, 10 s, 1 m"),
        ('longest_age = "1500ms"', r"class\[0\].longest_age: "),
        ('always_look = "perhaps"', r"class\[0\].always_look: 'perhaps' is neither yes nor no"),
        ("via = []", r"class\[0\].via: this is a list"),
        ('[[class]]\nname = "a"\nmatch = {kind = "ecs"}', r"agent.toml:4: class\[1\]: there is a class 'a' already"),
        ('[[class]]\nname = "b"', r"class\[1\]: there is no match"),
        ('[[class]]\nmatch = {kind = "ecs"}', r"class\[1\]: there is no name"),
        ('[[class]]\nname = "b"\nmatch = {}', r"class\[1\].match: this matches every service"),
        ('[[class]]\nname = "b"\nmatch = "x"', r"class\[1\].match: this is not a table"),
        ('[[class]]\nname = "b"\nmatch = {pod = []}', r"class\[1\].match.pod: there is no pattern"),
        ('[[class]]\nname = "b"\nmatch = {pod = ["a", {}]}', r"class\[1\].match.pod\[1\]: this is a table"),
        (f'[[class]]\nname = "b"\nmatch = {{pod = "{"x" * 201}"}}', r"class\[1\].match.pod: this pattern is longer"),
        ('[[class]]\nname = "default"\nmatch = {kind = "x"}', r"class\[1\].name: 'default' cannot be the name"),
        ('[[class]]\nname = "a\\u001b"\nmatch = {kind = "x"}', r"class\[1\].name: .* cannot be the name"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(f'[[class]]\nname = "a"\nmatch = {{kind = "systemd"}}\n{line}')


def test_too_many_classes() -> None:
    with pytest.raises(ConfigError, match="more than 100 classes"):
        read("".join(f'[[class]]\nname = "{number}"\nmatch = {{kind = "ecs"}}\n' for number in range(101)))


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=12), max_size=3), st.text(max_size=12))
def test_no_pattern_raises(match: dict[str, Patterns], value: str) -> None:
    service = Service("k", Path("/k"), "cgroup", {"service": value}, dict.fromkeys(match, value), "path")
    assert ServiceClass("x", match).matches(service) in (True, False)
