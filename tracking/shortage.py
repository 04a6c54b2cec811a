"""What a machine can run out of, whatever the program was doing: one sentence for each."""

import errno
import os
from collections.abc import Iterator

_DISK = "the disk is full: free some space"
_MEMORY = "there is not enough memory: free some, raise the limit (ulimit -v, a container's), or ask for less"
_PROCESSES = "no more processes or threads can be started: end some, or raise the limit (ulimit -u, a container's)"
_SENTENCES = {
    errno.ENOSPC: _DISK,
    errno.EDQUOT: "the disk's quota is used up: free some space",
    errno.EFBIG: "a file would become larger than is allowed: raise the limit (ulimit -f)",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine: close some",
    errno.ENOMEM: _MEMORY,
    errno.EAGAIN: _PROCESSES,
    errno.EIO: "a disk or a terminal cannot be read or written: see to it",
    errno.EPIPE: "what reads the output, or works for this program, has ended",
}
_WORDS = {  # where libraries tell of it in words
    **{os.strerror(number): sentence for number, sentence in _SENTENCES.items()},
    "can't start new thread": _PROCESSES,
    "bad_alloc": _MEMORY,
    "t allocate memory": _MEMORY,
    "out of memory": _MEMORY,
    "not enough memory": _MEMORY,
    "failed to map segment": _MEMORY,
}


def shortage(error: BaseException) -> str | None:
    """What there was too little of, and what would help, if that is the cause of `error`; else None."""
    return next((found for cause in _causes(error) if (found := _of(cause)) is not None), None)


def passing(error: BaseException) -> bool:
    """Whether `error` is a shortage that says nothing about what was read or made meanwhile: a file that cannot be
    read for want of memory is not damaged."""
    return not any(isinstance(cause, OSError) and cause.errno == errno.EIO for cause in _causes(error)) and bool(
        shortage(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those behind it."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _of(error: BaseException) -> str | None:
    if isinstance(error, MemoryError):
        return _MEMORY
    if isinstance(error, OSError) and error.errno is not None:
        sentence = _SENTENCES.get(error.errno)
        named = f" ({error.filename})" if error.filename is not None else ""
        return f"{sentence}{named}" if sentence else None
    if isinstance(error, (OSError, RuntimeError, ImportError)):
        text = str(error)
        sentence = next((sentence for words, sentence in _WORDS.items() if words in text), None)
        return f"{sentence} ({text.splitlines()[0]})" if sentence else None
    return None
