"""Folders that are whole or absent: staged beside their place, flushed, sealed by a manifest with digests, renamed."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.crash import crash_point
from harness.files import flush_folder, write_text
from harness.plan import file_digest

MANIFEST = "manifest.json"


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A folder to write into; sealed and flushed when it takes the place of `folder`."""
    stage = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    try:
        crash_point("folder-staged")
        yield stage
        crash_point("folder-written")
        seal(stage)
        crash_point("folder-sealed")
        drop(folder)
        stage.replace(folder)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)  # of a full disk, it is a good part
        raise
    flush_folder(folder.parent)
    crash_point("folder-renamed")


def seal(folder: Path) -> None:
    """Flush every file of a folder, and write the manifest of their digests last."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != MANIFEST)
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    write_text(folder / MANIFEST, json.dumps({path.name: file_digest(path) for path in files}, indent=1, sort_keys=True))


def damage(folder: Path) -> str | None:
    """What is wrong with a sealed folder; None where it is whole."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return "its manifest is missing"
    try:
        listed = json.loads(manifest.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        return "its manifest is damaged"
    if not isinstance(listed, dict) or not listed:
        return "its manifest is damaged"
    for name, digest in listed.items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if file_digest(folder / name) != digest:
            return f"{name} differs from its digest"
    return None


def drop(folder: Path) -> None:
    """Delete a folder, which loses its name first: half of it is never found under that name."""
    if folder.exists():
        hidden = folder.with_name(f".{folder.name}.old")
        shutil.rmtree(hidden, ignore_errors=True)
        folder.replace(hidden)
        crash_point("folder-hidden")
        shutil.rmtree(hidden)
