"""The store in S3 (or a service that speaks its protocol), by boto3."""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from urllib3.exceptions import HTTPError

from infra.errors import NotFoundError, StorageError, UsageError
from infra.settings import Settings
from infra.storage.protocol import StoredObject, Unfinished, check_key, check_prefix

# codes of errors, as S3 and services that speak its protocol spell them
MISSING = {"NoSuchKey", "NoSuchUpload", "404", "NotFound"}
TAKEN = {"PreconditionFailed", "412"}
CONFLICT = {"ConditionalRequestConflict", "409"}
UNKNOWN_CONDITION = {"NotImplemented", "501"}
"""S3 gives this answer while another request on the key is under way; the same request is to be sent again."""
CUT = (ResponseStreamingError, IncompleteReadError, ReadTimeoutError, HTTPError)
"""Errors of an answer that begins and is cut; botocore itself repeats a request only until its answer begins."""
MAX_ATTEMPTS = 8
"""How often one request is sent in all, whoever repeats it: botocore or this module."""
TIMEOUT_SEC = 20.0
"""Silence after which an attempt is given up, unless the settings say otherwise."""
MAX_PAUSE_SEC = 20.0
"""Longest pause before the next attempt."""


def s3_client(settings: Settings) -> Any:
    """The one place where a boto3 client is configured."""
    session = boto3.session.Session(profile_name=settings.s3_profile, region_name=settings.s3_region)
    config = Config(
        retries={"mode": "adaptive", "total_max_attempts": MAX_ATTEMPTS},
        max_pool_connections=32,
        connect_timeout=10,
        read_timeout=_timeout_sec(settings),
    )
    return session.client("s3", endpoint_url=settings.s3_endpoint, config=config)


def _timeout_sec(settings: Settings) -> float:
    if settings.s3_timeout is None:
        return TIMEOUT_SEC
    try:
        seconds = float(settings.s3_timeout)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"s3_timeout: a number of seconds above 0, got {settings.s3_timeout!r}; leave it out for 20")
    return seconds


class _OutOfAttempts(BotoCoreError):  # type: ignore[misc]
    """A request was sent as often as it may be; an error of botocore's kind, so that it is reported like its others."""

    fmt = f"no whole answer in {MAX_ATTEMPTS} attempts"


class _Attempts(threading.local):
    """How often this thread may still send the request that it is about; None = botocore alone counts.

    A loop around botocore's own attempts would multiply them: 8 times 8. So all are counted where they are sent. The
    client is shared by threads, each of which is about a request of its own.
    """

    left: int | None = None

    def count(self, **_: object) -> None:
        """Called before anything is sent.

        Raises:
            _OutOfAttempts: it was sent often enough.
        """
        if self.left is None:
            return
        if self.left == 0:
            raise _OutOfAttempts
        self.left -= 1

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """Count all that is sent within it as attempts of one request."""
        self.left = MAX_ATTEMPTS
        try:
            yield
        finally:
            self.left = None

    def pause_or_raise(self, err: Exception) -> None:
        """Wait before the next attempt, longer each time; raises `err` where none is left."""
        assert self.left is not None
        if self.left == 0:
            raise err
        # at most 1, 2, 4 ... s; a random share of it, so that many workers do not come back at the same moment
        time.sleep(random.random() * min(2.0 ** (MAX_ATTEMPTS - self.left - 1), MAX_PAUSE_SEC))


def _code(err: ClientError) -> str:
    return str(err.response.get("Error", {}).get("Code", ""))


class S3Storage:
    """A `Storage` below s3://bucket/prefix."""

    def __init__(self, uri: str, settings: Settings) -> None:
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        if not bucket:
            raise UsageError(f"store {uri!r}: names no bucket; use s3://bucket/prefix")
        self.uri = uri.rstrip("/")
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        with self._translated(""):
            try:
                self._client = s3_client(settings)
            except ValueError as err:  # how botocore refuses a malformed endpoint
                raise UsageError(f"s3_endpoint: {err}; give a URL such as http://127.0.0.1:9000") from err
        self._attempts = _Attempts()
        # botocore says this before each attempt, those that it makes by itself too
        self._client.meta.events.register("before-send.s3", self._attempts.count)

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        """Within it botocore's errors become ours, which name the object and what to do."""
        where = f"{self.uri}/{key}".rstrip("/")
        try:
            yield
        except ClientError as err:
            code = _code(err)
            if code in MISSING:
                raise NotFoundError(f"{where}: no such object in the store") from err
            if code == "NoSuchBucket":
                raise StorageError(f"{where}: the bucket does not exist; make it or name another") from err
            if code in ("AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch"):
                raise StorageError(
                    f"{where}: access refused ({code}); check the credentials, profile and bucket policy"
                ) from err
            if code in UNKNOWN_CONDITION:
                advice = "it has no conditional writes (If-None-Match); use a store that has"
                raise StorageError(f"{where}: the store answered {code}: {advice}") from err
            raise StorageError(f"{where}: the store answered {code or err}") from err
        except (BotoCoreError, HTTPError) as err:
            raise StorageError(f"{where}: {err}; check endpoint, region, profile and network") from err

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)

    def read(self, key: str) -> bytes:
        with self._translated(key), self._attempts.bounded():
            while True:
                try:
                    answer = self._client.get_object(Bucket=self._bucket, Key=self._name(key))
                    return cast(bytes, answer["Body"].read())
                except CUT as err:
                    self._attempts.pause_or_raise(err)

    def write(self, key: str, data: bytes) -> None:
        with self._translated(key):
            self._client.put_object(Bucket=self._bucket, Key=self._name(key), Body=data)

    def create(self, key: str, data: bytes) -> bool:
        # where an answer is lost and the request is sent again, the object is taken by ourselves: False may mean that
        # our own bytes are there, and a caller for whom that matters reads them (`jobs.tasks.commits.commit`)
        with self._translated(key), self._attempts.bounded():
            while True:
                try:
                    self._client.put_object(Bucket=self._bucket, Key=self._name(key), Body=data, IfNoneMatch="*")
                    return True
                except ClientError as err:
                    if _code(err) in TAKEN:
                        return False
                    if _code(err) not in CONFLICT:
                        raise
                    self._attempts.pause_or_raise(err)

    def upload(self, path: Path, key: str) -> None:
        with self._translated(key), path.open("rb") as file:
            self._client.upload_fileobj(file, self._bucket, self._name(key))

    def download(self, key: str, path: Path) -> None:
        with self._translated(key):
            self._client.download_file(self._bucket, self._name(key), str(path))

    def exists(self, key: str) -> bool:
        try:
            with self._translated(key):
                self._client.head_object(Bucket=self._bucket, Key=self._name(key))
        except NotFoundError:
            return False
        return True

    def list(self, prefix: str) -> list[StoredObject]:
        found = []
        with self._translated(prefix):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + check_prefix(prefix)):
                for entry in page.get("Contents", []):
                    if not entry["Key"].endswith("/"):  # else the mark of a folder, which consoles leave
                        key = entry["Key"][len(self._prefix) :]
                        found.append(StoredObject(key, entry["Size"], entry["LastModified"].timestamp()))
        return sorted(found, key=lambda entry: entry.key)

    def delete(self, key: str) -> None:
        with self._translated(key):
            self._client.delete_object(Bucket=self._bucket, Key=self._name(key))

    def unfinished(self, prefix: str) -> Sequence[Unfinished]:
        found = []
        with self._translated(prefix):
            pages = self._client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + check_prefix(prefix)):
                for entry in page.get("Uploads", []):
                    key = entry["Key"][len(self._prefix) :]
                    found.append(Unfinished(key, entry["UploadId"], entry["Initiated"].timestamp()))
        return sorted(found, key=lambda upload: (upload.key, upload.begun_at))

    def abandon(self, upload: Unfinished) -> None:
        with suppress(NotFoundError), self._translated(upload.key):  # completed or given up since
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._name(upload.key), UploadId=upload.id)

    def url(self, key: str) -> str:
        return f"{self.uri}/{check_key(key)}"
