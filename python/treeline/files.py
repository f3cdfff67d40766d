"""Files that are there completely or not at all, and digests of what is in them."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from typing import Any


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Replaces path by data in one step: a reader sees the old bytes or the new ones."""
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Replaces path by value as JSON (UTF-8, NaN and infinities refused with ValueError)."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomic(path, text.encode() + b"\n")


def sha256(path: str | os.PathLike[str]) -> str:
    """The hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def manifest(directory: str | os.PathLike[str]) -> dict[str, str]:
    """SHA-256 of every file below a directory, by its slash-separated relative name, in order of the names."""
    root = pathlib.Path(directory)
    return {path.relative_to(root).as_posix(): sha256(path) for path in sorted(root.rglob("*")) if path.is_file()}
