"""Paths that people and programs write -> one form, so that equal ones are equal."""

import posixpath
import unicodedata


def plain(path: str) -> str:
    """Forward slashes, no `./`, and accented letters in one piece (Unicode form NFC)."""
    return posixpath.normpath(unicodedata.normalize("NFC", path.replace("\\", "/")))
