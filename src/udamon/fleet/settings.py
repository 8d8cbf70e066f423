"""Variables from which obstore takes servers and credentials: checked before it sees them.

Its Rust code takes some of them as they are, and panics at the first request where they cannot be part of one: a server
that is no URL, a control character in what becomes a header.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from udamon.errors import UsageError
from udamon.text import is_text

PREFIXES = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}
"""How the variables begin that obstore reads for a kind of store."""

_SERVERS = frozenset({
    "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_STS", "AWS_STS_ENDPOINT",
    "AWS_METADATA_ENDPOINT", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "GOOGLE_BASE_URL", "AZURE_STORAGE_ENDPOINT",
    "AZURE_ENDPOINT", "AZURE_STORAGE_AUTHORITY_HOST", "AZURE_AUTHORITY_HOST", "AZURE_MSI_ENDPOINT",
    "AZURE_IDENTITY_ENDPOINT", "AZURE_FABRIC_TOKEN_SERVICE_URL",
})  # fmt: skip
"""Variables that are URLs of servers; a proxy's may have schemes of its own, and breaks nothing."""

_TEXTS = re.compile(
    "AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|TOKEN|REGION|DEFAULT_REGION|ROLE_ARN|ROLE_SESSION_NAME|BUCKET.*"
    "|CONTAINER_CREDENTIALS_RELATIVE_URI|SERVER_SIDE_ENCRYPTION|SSE_.*|REQUEST_PAYER)"
    "|AZURE_(STORAGE_)?(ACCOUNT_.*|ACCESS_KEY|MASTER_KEY|CLIENT_.*|TENANT_ID|AUTHORITY_ID|SAS_.*|TOKEN|OBJECT_ID"
    "|MSI_RESOURCE_ID|ENCRYPTION_KEY|FABRIC_.*|CONTAINER_NAME)"
    "|GOOGLE_(BUCKET.*|BEARER_TOKEN|TOKEN|SERVICE_ACCOUNT|SERVICE_ACCOUNT_PATH|APPLICATION_CREDENTIALS)"
)
"""What becomes parts of requests, or paths. GOOGLE_SERVICE_ACCOUNT_KEY is none: it is JSON, of several lines."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_URL = re.compile(r"https?://[A-Za-z0-9._~%!$&'()*+,;=:@/?\[\]-]+")
"""Without what a request would have to encode."""
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
"""A name or an IPv4 address, or an IPv6 address."""


def check(kind: str, environment: Mapping[str, str]) -> None:
    """Whether what the environment says for a kind of store (s3, gs, az) can be part of a request. The values of
    credentials are not quoted. Raises UsageError."""
    for name, value in sorted(environment.items()):
        if not name.startswith(PREFIXES[kind]):
            continue
        if name in _SERVERS and not is_server(value):
            raise UsageError(
                f"the variable {name} is {value[:80]!r}, which is no URL of a server; give one like "
                "http://HOST:PORT or https://HOST, or unset it."
            )
        if not _TEXTS.fullmatch(name):
            continue
        if (found := _CONTROL.search(value)) is not None:
            raise UsageError(
                f"the variable {name} has the control character {found[0]!r}, which no request can have; set it "
                "without, or unset it."
            )
        if not is_text(value):
            raise UsageError(
                f"the variable {name} is not UTF-8; set it to what the store gave you, or unset it."
            )


def is_server(value: str) -> bool:
    """Whether this is a URL of a server, in the characters that a request has."""
    if not _URL.fullmatch(value):
        return False
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:  # a port that is none, an address without its bracket
        return False
    return host is not None and _HOST.fullmatch(host) is not None and port != 0


def named(kind: str, environment: Mapping[str, str]) -> str:
    """Names of the variables that are set for a kind of store, for a sentence."""
    found = sorted(name for name in environment if name.startswith(PREFIXES[kind]))
    return ", ".join(found[:12]) or f"none of {PREFIXES[kind]}… is set"
