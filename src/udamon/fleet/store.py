"""Where objects lie: a directory, or S3, Google Cloud Storage and Azure by obstore (extra `fleet`).

Objects are created, read, listed and deleted; none is ever changed.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from udamon import extras
from udamon.errors import CannotError, OutputError, UsageError, is_panic
from udamon.files.output import whole_file
from udamon.fleet import settings
from udamon.linux import open_files
from udamon.text import is_text

_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
"""Variables that obstore reads."""
REMOTE = {"s3": "s3", "s3a": "s3", "gs": "gs", "az": "az", "abfs": "az", "abfss": "az"}
"""Schemes of locations that obstore opens, and whose they are."""


class Stored(NamedTuple):
    """An object: its path below the location, its size in bytes, and when it was created (seconds since 1970)."""

    path: str
    size: int
    created: float


class ObjectUnreadable(CannotError):
    """One object that cannot be read, though its location answers. `why` is a clause that continues its path."""

    def __init__(self, location: str, path: str, why: str) -> None:
        super().__init__(f"{location}/{path} {why}; see who may read it, or bring it back from a copy.")
        self.why = why


class Store(Protocol):
    """All raise CannotError when the location does not answer, or refuses."""

    location: str
    passed_over: dict[str, str]
    """Paths that a listing could not look into, and why: what lies there is in no report."""

    def list(self, prefix: str) -> Iterator[Stored]:
        """The objects below a directory, by path."""

    def read(self, path: str) -> bytes:
        """Raises FileNotFoundError where there is no such object, ObjectUnreadable where it alone cannot be read."""

    def part(self, path: str, begin: int, length: int) -> bytes:
        """So many bytes of an object, fewer where it ends before. Raises as `read`."""

    def create(self, path: str, data: bytes) -> bool:
        """Create an object, all at once; False where there is one of that path, which stays as it is."""

    def upload(self, path: str, file: Path) -> None:
        """Create an object of a path that nobody else chooses, from a file of any size."""

    def delete(self, path: str) -> None:
        """Also where it is gone."""


def open_store(location: str) -> Store:
    """A directory (path or file:// URL), or a bucket and a prefix (s3://, gs://, az://).

    Raises UsageError, CannotError, MissingExtra."""
    scheme, divider, rest = location.partition("://")
    if not divider:
        scheme, colon, _ = location.partition(":")
        if colon and scheme in (*REMOTE, "file"):
            raise UsageError(
                f"{location[:100]!r} is neither a URL nor a directory's usual name; write {scheme}://, or ./{scheme}: "
                "for a directory of that name."
            )
        return Directory(location)
    if scheme == "file":
        return Directory("/" + rest.lstrip("/"))
    if scheme not in REMOTE:
        raise UsageError(
            f"{location[:100]!r} is no location that objects can lie in; give a directory, or a URL with "
            "s3://, gs:// or az://."
        )
    if (odd := _NOT_LITERAL.search(rest)) is not None:
        raise UsageError(
            f"{location[:100]!r} has {odd[0].strip('/')!r} in its name, which URLs or patterns take for something "
            "else; give a prefix without it, under which objects are found again."
        )
    return BucketStore(location)


_NOT_LITERAL = re.compile(r"[][*?#]|%[0-9A-Fa-f]{2}|/\.{1,2}(?=/|$)")
"""In the URL of a bucket: what ends its path, stands for other characters or for steps, or is a pattern for DuckDB and
fsspec, between which it cannot be given for itself."""


class Directory:
    """Objects as files of mode 0600 below a directory."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.location = os.fspath(path)
        self.root = Path(path).absolute()
        self.passed_over: dict[str, str] = {}

    def list(self, prefix: str) -> Iterator[Stored]:
        yield from sorted(self._files(prefix))

    def _files(self, prefix: str) -> Iterator[Stored]:
        for place, directories, names in os.walk(self.root / prefix, onerror=self._not_listed):
            for name in directories:
                path = os.path.join(place, name)
                if os.path.islink(path):
                    self._pass_over(path, "a link to a directory is not followed")
                elif not is_text(name):
                    self._pass_over(path, "its name is not UTF-8")
            directories[:] = filter(is_text, directories)
            for name in names:
                file = os.path.join(place, name)
                if not is_text(name):
                    self._pass_over(file, "its name is not UTF-8")
                    continue
                try:
                    found = os.stat(file)
                except OSError:
                    try:
                        found = os.lstat(file)  # a link that leads nowhere is an object that cannot be read
                    except OSError:
                        continue  # removed meanwhile
                yield Stored(os.path.relpath(file, self.root), found.st_size, found.st_mtime)

    def _not_listed(self, error: OSError) -> None:
        open_files.refuse_if_full(error)
        if os.path.lexists(error.filename):
            self._pass_over(error.filename, error.strerror or str(error))

    def _pass_over(self, path: str, why: str) -> None:
        self.passed_over[os.path.relpath(path, self.root)] = why

    def read(self, path: str) -> bytes:
        return self.part(path, 0, None)

    def part(self, path: str, begin: int, length: int | None) -> bytes:
        try:
            # Without waiting for who would write to a pipe of that name.
            with open(os.open(self.root / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", 0) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise ObjectUnreadable(self.location, path, "is no regular file")
                file.seek(begin)
                return file.read(-1 if length is None else length) or b""
        except FileNotFoundError:
            raise
        except OSError as error:
            open_files.refuse_if_full(error)
            raise ObjectUnreadable(self.location, path, f"cannot be read: {error.strerror}") from error

    def create(self, path: str, data: bytes) -> bool:
        file = self.root / path
        if os.path.exists(file):  # False also where it cannot be told: making it says why
            return False
        self._make_directory(file)
        try:
            with whole_file(file) as output:
                output.write(data)
        except OutputError:
            if os.path.exists(file):  # another process has written it meanwhile
                return False
            raise
        return True

    def upload(self, path: str, file: Path) -> None:
        target = self.root / path
        self._make_directory(target)
        with file.open("rb") as source, whole_file(target) as output:
            while piece := source.read(1 << 20):
                output.write(piece)

    def delete(self, path: str) -> None:
        try:
            (self.root / path).unlink(missing_ok=True)
        except OSError as error:
            raise self._trouble("remove", path, error) from error

    def _make_directory(self, file: Path) -> None:
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._trouble("make the directory of", str(file), error) from error

    def _trouble(self, what: str, path: str, error: OSError) -> CannotError:
        return CannotError(
            f"cannot {what} {self.root / path}: {error.strerror}; give a location that this user can use."
        )


class BucketStore:
    """Objects of a bucket below a prefix. What fails for a time is tried again for `patience` seconds, after waits that
    double; a request has failed after `timeout` seconds."""

    def __init__(self, location: str, patience: float = 60, timeout: float = 30) -> None:
        try:
            import obstore
            from obstore import store
        except ImportError:
            raise extras.missing(location, "fleet") from None
        self.location = location.rstrip("/")
        self.passed_over: dict[str, str] = {}
        self._obstore = obstore
        wait: Any = {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=15), "base": 2}
        self._retry: Any = {
            "backoff": wait, "max_retries": 20, "retry_timeout": timedelta(seconds=patience),
        }  # fmt: skip
        self._client: Any = {"timeout": timedelta(seconds=timeout)}
        self._kind = REMOTE[location.partition("://")[0]]
        settings.check(self._kind, os.environ)
        if _plain_http(self._kind):
            self._client["allow_http"] = True
        made: Any = store.from_url  # its overloads have a kind of store each
        try:
            self.store = made(self.location, retry_config=self._retry, client_options=self._client)
        except BaseException as error:
            if not is_panic(error) and not isinstance(error, (obstore.exceptions.BaseError, ValueError)):
                raise
            raise CannotError(
                f"cannot open {location}: {self._said(error)}; check the URL, and credentials such as "
                f"{_CREDENTIALS[self._kind]}."
            ) from error

    def filesystem(self) -> Any:
        """For readers that take fsspec: it opens URLs as that of the location. Raises MissingExtra."""
        try:
            from obstore.fsspec import FsspecStore
        except ImportError:
            raise extras.missing(self.location, "fleet") from None
        made: Any = FsspecStore
        return made(
            self.location.partition("://")[0],
            retry_config=self._retry,
            client_options=self._client,
            skip_instance_cache=True,  # the environment may name another server now
        )

    def list(self, prefix: str) -> Iterator[Stored]:
        with self._asked("list", prefix):
            for page in self._obstore.list(self.store, f"{prefix}/"):
                for each in page:
                    yield Stored(each["path"], each["size"], each["last_modified"].timestamp())

    def read(self, path: str) -> bytes:
        return self._got(path, lambda: self._obstore.get(self.store, path).bytes())

    def part(self, path: str, begin: int, length: int) -> bytes:
        return self._got(path, lambda: self._obstore.get_range(self.store, path, start=begin, length=length))

    def _got(self, path: str, get: Callable[[], Any]) -> bytes:
        with self._asked("read", path):
            try:
                return bytes(get())
            except (FileNotFoundError, self._obstore.exceptions.NotFoundError):
                raise FileNotFoundError(path) from None
            except (self._obstore.exceptions.PermissionDeniedError, PermissionError) as error:
                raise ObjectUnreadable(self.location, path, "cannot be read: permission denied") from error

    def create(self, path: str, data: bytes) -> bool:
        with self._asked("create", path):
            try:
                self._obstore.put(self.store, path, data, mode="create", use_multipart=False)
            except self._obstore.exceptions.AlreadyExistsError:
                return False
        return True

    def upload(self, path: str, file: Path) -> None:
        with self._asked("create", path):
            self._obstore.put(self.store, path, file)

    def delete(self, path: str) -> None:
        with self._asked("delete", path), suppress(FileNotFoundError, self._obstore.exceptions.NotFoundError):
            self._obstore.delete(self.store, path)

    @contextmanager
    def _asked(self, what: str, path: str) -> Iterator[None]:
        """What obstore raises as one sentence, its panics too."""
        try:
            yield
        except BaseException as error:
            if not is_panic(error) and not isinstance(error, self._obstore.exceptions.BaseError):
                raise
            raise CannotError(
                f"cannot {what} {self.location}/{path}: {self._said(error)}; check that it can be reached, and try "
                "again."
            ) from error

    def _said(self, error: BaseException) -> str:
        """What obstore says goes on with its own insides."""
        said = str(error).split("\n")[0][:300].rstrip(".")
        if not is_panic(error):
            return said
        return f"obstore breaks off ({said}), as by one of its variables ({settings.named(self._kind, os.environ)})"


def _plain_http(kind: str) -> bool:
    """Whether a variable names a server without TLS, for this kind of store. Google's has no such variable."""
    named: tuple[str | None, ...] = ()
    match kind:
        case "s3":
            named = os.environ.get("AWS_ENDPOINT_URL"), os.environ.get("AWS_ENDPOINT")
        case "az":
            named = os.environ.get("AZURE_STORAGE_ENDPOINT"), os.environ.get("AZURE_ENDPOINT")
    return any(url.startswith("http://") for url in named if url)
