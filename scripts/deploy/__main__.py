"""Dashboards and manifests, made of their descriptions; they are committed, and a test makes them again.

python -m scripts.deploy      packaging/grafana/*.json, packaging/kubernetes/base/*.yaml
"""

from __future__ import annotations

from pathlib import Path

from scripts.deploy import grafana, manifests


def made() -> dict[Path, str]:
    """The text of each file."""
    return grafana.files() | manifests.files()


def main() -> None:
    for path, text in made().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path)


if __name__ == "__main__":
    main()
