"""Optional dependencies: what lacks one says the command that installs exactly it."""

from __future__ import annotations

from udamon.errors import MissingExtra

LIBRARIES = {
    "agent": ("prometheus-client", "h2"),
    "completion": ("shtab",),
    "control": ("mfusepy",),
    "engines": ("SQLGlot",),
    "fleet": ("obstore", "fsspec"),
    "iceberg": ("pyiceberg",),
    "live": ("Textual",),
    "otlp": ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"),
    "pandas": ("pandas",),
    "png": ("Pillow",),
    "sites": ("symbolic",),
    "spark": ("PySpark", "pyarrow"),
    "yaml": ("PyYAML",),
}
"""Extras of pyproject.toml that commands and the library import, and what each installs."""


def command(extra: str) -> str:
    """What installs `extra`."""
    return f"pip install 'udamon[{extra}]'"


def missing(what: str, extra: str, instead: str = "") -> MissingExtra:
    """The error for `what`, which needs `extra`; `instead` is what can be done without it."""
    libraries = LIBRARIES[extra]
    verb = "is" if len(libraries) == 1 else "are"
    way_out = f", or {instead}" if instead else ""
    return MissingExtra(
        f"{what} needs {' and '.join(libraries)}, which {verb} not installed; run: {command(extra)}{way_out}"
    )
