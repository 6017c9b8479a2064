"""Find the expected error inside what Ray made of it, so that its sentence is what the record says."""

from infra.errors import AganError


def expected_error(error: BaseException) -> AganError | None:
    """The `AganError` that `error` is or wraps, None where it is a bug.

    An error that crossed processes is of its own class and Ray's at once, its text a whole traceback; the
    original is its `cause`.
    """
    found: AganError | None = None
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, AganError):
            found = seen
        seen = getattr(seen, "cause", None) or seen.__cause__
    return found
