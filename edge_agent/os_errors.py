"""What an error of the operating system says: of the whole system, of one file, or of neither."""

import errno
from collections.abc import Iterator

_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN})
_ROTTEN = frozenset({errno.EIO, errno.EUCLEAN, errno.EBADMSG})
"""A block that cannot be read; metadata or a checksum that cannot be right (ext4, XFS: EFSCORRUPTED, EFSBADCRC)."""


def errnos_of(error: BaseException | None) -> Iterator[int | None]:
    """The errno of each OSError among an error and what it was raised from, the error's own first."""
    while error is not None:
        if isinstance(error, OSError):
            yield error.errno
        error = error.__cause__


def is_passing(error: BaseException) -> bool:
    """Whether the system lacked something for a moment, which says nothing of the file that was being used."""
    return any(number in _PASSING for number in errnos_of(error))


def is_rotten(error: BaseException) -> bool:
    """Whether the storage cannot read one file or folder any more, while the rest of it is well perhaps."""
    return any(number in _ROTTEN for number in errnos_of(error))
