"""Writing files so that nothing is ever half there, locks, digests."""

import hashlib
import json
import os
import platform
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from numbers import Integral, Real
from pathlib import Path

from filelock import FileLock, Timeout
from psutil import pid_exists

from canet.core.console import UserError

DYING_S = 10  # loader processes outlive a killed one by up to five seconds, its locks with them
HOST = "".join(c for c in platform.node() if c.isalnum() or c == "-") or "host"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block succeeds.

    Works for a file and for a folder; a folder in the way is replaced. What processes that were
    killed left of earlier attempts is deleted.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_orphans(path)
    temporary = _temporary(path)
    try:
        yield temporary
        if temporary.is_dir():
            replace_folder(temporary, path)
        else:
            os.replace(temporary, path)
    finally:
        remove(temporary)


def replace_folder(new: Path, path: Path) -> None:
    """Move a folder to `path`; a folder that is there goes only then."""
    old = _temporary(path)
    _remove_orphans(path)
    if path.is_dir():
        os.rename(path, old)
    os.rename(new, path)
    remove(old)


def _temporary(path: Path) -> Path:
    """A new hidden path beside `path` whose name tells the machine and the process."""
    return path.with_name(f".{path.name}.{HOST}.{os.getpid()}.{uuid.uuid4().hex[:6]}.tmp")


def _remove_orphans(path: Path) -> None:
    for left in path.parent.glob(f".{escape(path.name)}.{HOST}.*.tmp"):
        process = left.name.split(".")[-3]
        if process.isdecimal() and not pid_exists(int(process)):
            remove(left)


def process_name() -> str:
    """This process, as locks and trials name it."""
    return f"{HOST}:{os.getpid()}"


@contextmanager
def locked(path: Path, problem: str) -> Iterator[None]:
    """Hold a lock file while the block runs; a process that is killed holds it no longer.

    Args:
        path: of the lock file; it stays, and names its holder.
        problem: what to say where another process holds it; `{holder}` in it is that one.

    Raises:
        UserError: `problem`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=DYING_S if _is_gone(_holder(path)) else 0)
    except Timeout:
        holder = _holder(path) or "another process"
        raise UserError(problem.replace("{holder}", holder)) from None
    try:
        with suppress(OSError):  # Windows lets nobody write to it
            path.write_text(process_name(), encoding="utf-8")
        yield
    finally:
        lock.release()


def _holder(lock: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return lock.read_text(encoding="utf-8")[:200]
    return ""


def _is_gone(holder: str) -> bool:
    """Whether a process was on this machine and is no more."""
    host, _, process = holder.rpartition(":")
    return host == HOST and process.isdecimal() and not pid_exists(int(process))


def write_text(path: Path, text: str) -> None:
    """Write a file as UTF-8, its ends of lines as they are."""
    with replacing(path) as temporary:  # a file name need not be UTF-8: \udc.. is JSON, too
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


def write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path, **wanted: type) -> dict | None:
    """The object in a JSON file; None where there is none, or it is not what was written.

    Args:
        path: of the file.
        wanted: keys that it must have, with the type of their values, such as `trials=int`; a
            whole number will do for `float`.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # nested deeper than Python goes
        return None
    if not isinstance(content, dict):
        return None
    numbers = {int: Integral, float: Real}  # what JSON does not tell apart
    for key, kind in wanted.items():
        if key not in content or not isinstance(content[key], numbers.get(kind, kind)):
            return None
    return content


def sha256_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(value: object) -> str:
    """A digest of a JSON-like value that does not depend on the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def digest_of_files(paths: Iterable[Path]) -> str:
    """A digest of the names and contents of files, in the given order."""
    return digest_of_named((path.name, sha256(path.read_bytes())) for path in map(Path, paths))


def sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def digest_of_named(contents: Iterable[tuple[str, bytes]]) -> str:
    """A digest of names, each with the `sha256` of its content, in the given order."""
    total = hashlib.sha256()
    for name, content in contents:
        total.update(os.fsencode(name) + b"\0" + content)
    return total.hexdigest()


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if Path(path).is_dir():
        shutil.rmtree(path)
    else:
        Path(path).unlink(missing_ok=True)


def write_with(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary path, then move it to `path`."""
    with replacing(path) as temporary:
        write(temporary)
