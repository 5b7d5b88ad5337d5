"""The errors that imgsearch raises on purpose: each says what is wrong, where, and what to do.

The command line turns any of them into one line on standard error and the exit code 2; Python callers catch
`ImgsearchError` or the subclass that they can do something about.
"""

from __future__ import annotations

import re

_ACCESS = re.compile(r"(https?://)\S*@")
_LONGEST_REASON = 200


class ImgsearchError(Exception):
    """Base of every error raised on purpose by this package; a user and password in an address are masked."""

    def __init__(self, message: str = "") -> None:
        super().__init__(_ACCESS.sub(r"\1***@", message))


class UsageError(ImgsearchError):
    """A value that the caller gave is outside what is accepted."""


class PhotoError(ImgsearchError):
    """One photo cannot be read; the others go on."""


class PhotoUnreadableError(PhotoError):
    """A photo could not be read just now, whatever it holds: what is stored of it stays."""


class DecoderError(ImgsearchError):
    """No process that decodes photos can be started."""


class StoreError(ImgsearchError):
    """The store is missing, is no store, is newer than this program, or cannot be written."""


class ClusterError(ImgsearchError):
    """A Ray cluster cannot be reached, or its machines cannot do the work."""


class EncoderError(ImgsearchError):
    """An encoder is unknown, its weights are missing, or it does not fit the store."""


class WeightsError(ImgsearchError):
    """A weights file is missing, damaged, or belongs to another encoder."""


class DataError(ImgsearchError):
    """A table of captions or judgements cannot be used as it is."""


class PolicyError(ImgsearchError):
    """The compliance policy is missing or broken: nothing is shown until it is mended."""


class MissingExtraError(ImgsearchError):
    """A command needs packages that the plain installation leaves out."""


def first_line(error: BaseException) -> str:
    """Return the first line of what another library's error says, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:_LONGEST_REASON]


def os_reason(error: OSError) -> str:
    """Return the operating system's words for an error."""
    return (error.strerror or str(error) or type(error).__name__).lower()
