"""The errors that a user can act on, and the exit codes of the command line.

Every other exception is a bug and keeps its traceback.

    AganError            1  a job, or the work of a command, failed
    ├── UsageError       2  a flag, a spec, a settings file
    ├── NotFoundError    3  no such job, data set, model, result
    ├── DataError        6  a picture, mask, annotation, shard or sample
    ├── StorageError     7  the store refused or timed out
    ├── ClusterError     8  no cluster, no access to it, too small
    └── TrainingError    1  a training run went wrong (non-finite loss, lost workers)

`agan jobs wait` and `--follow` also end with 4 (cancelled) and 5 (lost).
"""

from enum import IntEnum


class ExitCode(IntEnum):
    SUCCEEDED = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CANCELLED = 4
    LOST = 5
    DATA = 6
    STORAGE = 7
    CLUSTER = 8


class AganError(Exception):
    """Base of all expected errors; takes one message, so that it crosses processes by pickle."""

    exit_code = ExitCode.FAILED


class UsageError(AganError):
    exit_code = ExitCode.USAGE


class NotFoundError(AganError):
    exit_code = ExitCode.NOT_FOUND


class DataError(AganError):
    exit_code = ExitCode.DATA


class StorageError(AganError):
    exit_code = ExitCode.STORAGE


class ClusterError(AganError):
    exit_code = ExitCode.CLUSTER


class TrainingError(AganError):
    exit_code = ExitCode.FAILED
