"""What a storage answers for one file or folder that it cannot read any more, while the rest of it is well."""

import errno

ROTTEN_ERRNOS = frozenset({errno.EIO, errno.EUCLEAN, errno.EBADMSG})
"""A block that cannot be read; metadata or a checksum that cannot be right (ext4, XFS: EFSCORRUPTED, EFSBADCRC)."""


def is_rotten(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised from, is of that kind."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in ROTTEN_ERRNOS:
            return True
        error = error.__cause__
    return False
