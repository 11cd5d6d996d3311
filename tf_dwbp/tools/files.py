"""Files that are written whole or not at all, as UTF-8 in every locale."""

import contextlib
import errno
import os
import pathlib
import re
import stat
import sys
import uuid

# Of what is read: a run of a hundred thousand cells has a tenth of it.
LARGEST_BYTES = 1 << 29

_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")
_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}


def write(path: str | os.PathLike, content: str | bytes) -> None:
    """Writes a file. At every moment there is the old file or the new one, and never a part.

    A device, a pipe or an open descriptor (`/dev/stdout`) is written into, since it cannot be
    replaced. Text is written as UTF-8; what UTF-8 cannot hold, halves of surrogate pairs, is
    written as `\\udc80`.

    Raises:
      OSError: the file cannot be written; `filename` names it.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    with _named(path):
        descriptor = _descriptor(path)
        if descriptor is not None:
            for stream in filter(None, (sys.stdout, sys.stderr)):
                stream.flush()  # what was printed before comes before
            with open(os.dup(descriptor), "wb") as file:
                file.write(data)
        elif _is_replaced(path):
            _replace(path, data)
        else:
            with open(path, "wb") as file:
                file.write(data)


def read_text(path: str | os.PathLike) -> str:
    """Reads a file of UTF-8, a pipe or a device; what has no end is refused.

    Raises:
      OSError: the file cannot be read; `filename` names it.
      ValueError: it is not UTF-8.
    """
    with _named(path), open(path, "rb") as file:
        data = file.read(LARGEST_BYTES + 1)
        if len(data) > LARGEST_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return data.decode("utf-8")


def check_writable(path: str | os.PathLike) -> None:
    """Finds out whether `write` can write there, and leaves everything as it is.

    Raises:
      OSError: it cannot.
    """
    with _named(path):
        if not os.fspath(path):
            raise FileNotFoundError(errno.ENOENT, "a file must have a name")
        descriptor = _descriptor(path)
        if descriptor is not None:
            os.fstat(descriptor)
        elif _is_replaced(path):
            descriptor, temporary = _temporary_beside(path)
            os.close(descriptor)
            os.unlink(temporary)
        elif os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        else:  # opening a pipe would wait for who reads it
            _check_access(path)


@contextlib.contextmanager
def _named(path):
    """Errors name the file that was asked for, not the one beside it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), os.fspath(path)) from None


def _descriptor(path):
    """The number of the open descriptor that the path stands for, if it stands for one.

    Opening `/dev/stdout` again would begin at the start of the file that it is directed to.
    """
    text = os.fspath(path)
    found = _DESCRIPTOR.fullmatch(text)
    return int(found[1]) if found else _STANDARD.get(text)


def _is_replaced(path):
    """Whether the path is, or will be, a plain file."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return True


def _check_access(path):
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _temporary_beside(path):
    """A new file in the directory of the file to write: its descriptor and its path."""
    _check_access(path)  # a file that may not be written may not be replaced either
    real = pathlib.Path(os.path.realpath(path))  # a link stays a link
    temporary = real.with_name(f".{uuid.uuid4().hex}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return os.open(temporary, flags, 0o666), temporary


def _replace(path, data):
    descriptor, temporary = _temporary_beside(path)
    try:
        with open(descriptor, "wb") as file:
            with contextlib.suppress(OSError):  # no old file, or not the right to keep its owner
                old = os.stat(path)
                os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
                os.fchown(descriptor, old.st_uid, old.st_gid)
            file.write(data)
            file.flush()
            os.fsync(descriptor)  # else a crash could leave an empty file under the name
        os.replace(temporary, os.path.realpath(path))
    except BaseException:
        os.unlink(temporary)
        raise
