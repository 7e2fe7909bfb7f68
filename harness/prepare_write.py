"""Prepared documents to one file, whole or absent, the same bytes for the same documents: JSON Lines or parquet by suffix."""

import gzip
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from harness.errors import InputError
from harness.files import writing
from harness.prepare_pass import Row, chunks

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")


def refuse_suffix(output: Path) -> None:
    """Refuse a name that does not say what the file is to be."""
    if not output.name.endswith(SUFFIXES) or output.name.startswith("."):
        raise InputError(f"--output {output} is of no kind that is written; give a name that ends in {', '.join(SUFFIXES)}")
    if output.is_dir():
        raise InputError(f"--output {output} is a folder; name a file")


def write_rows(output: Path, rows: Iterable[Row], sensitive: bool) -> None:
    """Write {"id", "text"} of every document, and "sensitive": true where they are."""
    more = {"sensitive": True} if sensitive else {}
    parts = ([{"id": row.id, "text": row.text, **more} for row in chunk] for chunk in chunks(rows))
    with writing(output) as beside:
        if output.suffix == ".parquet":
            _parquet(beside, parts)
            return
        with _opened(beside, output.suffix) as file:
            for part in parts:
                file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in part).encode())


@contextmanager
def _opened(path: Path, suffix: str) -> Iterator[IO[bytes]]:
    """A file that is packed as its suffix says, without name and time of day in it."""
    with path.open("wb") as plain:
        if suffix == ".gz":
            with gzip.GzipFile("", "wb", fileobj=plain, mtime=0) as file:
                yield file  # pyright: ignore[reportReturnType]
        elif suffix == ".zst":
            import pyarrow

            with pyarrow.CompressedOutputStream(plain, "zstd") as file:
                yield file  # pyright: ignore[reportReturnType]
        else:
            yield plain


def _parquet(path: Path, parts: Iterable[list[dict[str, Any]]]) -> None:
    """A row group a chunk."""
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    writer = None
    for part in parts:
        table = pyarrow.Table.from_pylist(part)
        writer = writer or ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    assert writer is not None, "a preparation that leaves nothing writes nothing"
    writer.close()
