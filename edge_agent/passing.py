"""What the system lacks for a moment, which says nothing of the file that was being read or written."""

import errno

PASSING_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN})


def is_passing(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised from, is of that kind."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in PASSING_ERRNOS:
            return True
        error = error.__cause__
    return False
