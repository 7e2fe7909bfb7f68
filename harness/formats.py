"""One file to documents, row by row: what is no document is refused by file and row, never dropped or made None.

A row is a line of JSON Lines, a row of parquet, a paragraph of a text file (blank lines between), or a whole file.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, NamedTuple

from harness.corpus import Document, Row
from harness.errors import InputError

TEXT, ID, SENSITIVE = "text", "id", "sensitive"
BOM = b"\xef\xbb\xbf"


class Found(NamedTuple):
    """A document, what its split depends on (its id; its text where it has none), and where it stands."""

    document: Document
    key: str
    where: str


@dataclass(frozen=True)
class Place:
    """Where rows come from.

    name        in messages
    column, id  of the text and of what it is called
    prefix      what tells rows without id apart
    gather      rows to documents, where a row is no document of its own
    """

    name: str
    column: str = TEXT
    prefix: str = ""
    id: str = ID
    gather: Callable[[Iterable[Row]], Iterable[Row]] | None = None


def documents(place: Place, rows: Iterable[Row]) -> Iterator[Found]:
    """Rows to documents; a source without any is refused."""
    number, hidden = 0, None
    for number, row in place.gather(rows) if place.gather else rows:
        where = f"{place.name}:{number}"
        said = says_sensitive(row, where)
        hidden = said if hidden is None else hidden
        if said and not hidden:
            raise InputError(f"{where}: {SENSITIVE} is true, and the first row does not say so; say it there, or in every row")
        yield document(place, number, row)
    if not number:
        raise InputError(f"{place.name} is empty; it needs at least one document")


def document(place: Place, number: int, row: Mapping[str, Any]) -> Found:
    """One row to a document. A row without id is called after its text and its place."""
    where = f"{place.name}:{number}"
    text = _text(row, place.column, where)
    name = row.get(place.id)
    if name is None:
        key = text_key(text)
        return Found(Document(f"{key}-{place.prefix}{number}", text), key, where)
    if isinstance(name, bool) or not isinstance(name, str | int) or name == "":
        raise InputError(f"{where}: {place.id} is {_kind(name)}; an id is text or a whole number, or left out in every row")
    name = _writable(str(name), place.id, where)
    return Found(Document(name, text), name, where)


def text_key(text: str) -> str:
    """What a text is called that has no id: the same for equal texts."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def says_sensitive(row: Mapping[str, Any], where: str) -> bool:
    """Whether a row says that its text must not be shown."""
    said = row.get(SENSITIVE)
    if said is not None and not isinstance(said, bool):
        raise InputError(f"{where}: {SENSITIVE} is {_kind(said)}; it is true or false, or left out")
    return bool(said)


def _text(row: Mapping[str, Any], column: str, where: str) -> str:
    if column not in row:
        known = ", ".join(map(str, row)) or "nothing"
        raise InputError(f"{where}: there is no {column}; the row has {known}; name the text's column as in file#column")
    text = row[column]
    if not isinstance(text, str):
        raise InputError(f"{where}: {column} is {_kind(text)}; it has to be text")
    if not text.strip():
        raise InputError(f"{where}: {column} is blank; take the row out or give it text")
    return _writable(text, column, where)


def _writable(text: str, column: str, where: str) -> str:
    """Text that UTF-8 has bytes for."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        raise InputError(f"{where}: {column} holds {half}, half of a character; mend or take out the row") from error
    return text


def _kind(value: Any) -> str:
    """A value as a reader knows it."""
    names = {type(None): "null", bool: "true or false", int: "a number", float: "a number", list: "a list", bytes: "bytes"}
    return names.get(type(value), "an object") if not isinstance(value, str) else "text" if value else "empty"


def read_jsonl(path: Path, place: Place) -> Iterator[Row]:
    """Lines of JSON Lines, plain or compressed; lines with nothing on them are no rows."""
    opened = {".gz": gzip.open, ".zst": _open_zstandard}.get(path.suffix, Path.open)
    for number, line in _lines(path, place, opened):
        if line.strip():
            yield number, _json(line.rstrip(), f"{place.name}:{number}", place.column)


def _open_zstandard(path: Path, mode: str) -> Any:
    """The bytes that a Zstandard file unpacks to, frame after frame."""
    import pyarrow

    return BufferedReader(pyarrow.CompressedInputStream(pyarrow.OSFile(str(path), mode), "zstd"))  # pyright: ignore


def _json(line: str, where: str, column: str) -> Mapping[str, Any]:
    allowed = f'every line is one object, as {{"{column}": "..."}}'
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: no JSON ({error.msg}, column {error.colno}); {allowed}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: no JSON ({error}); {allowed}") from error
    if not isinstance(value, dict):
        raise InputError(f"{where}: {_kind(value)} where an object belongs; {allowed}")
    return value


def read_paragraphs(path: Path, place: Place) -> Iterator[Row]:
    """Paragraphs of a text file, each under the number of its first line."""
    first, lines = 0, []
    for number, line in _lines(path, place, Path.open):
        if line.strip():
            first = first if lines else number
            lines.append(line)
        elif lines:
            yield first, {place.column: "".join(lines).strip()}
            lines = []
    if lines:
        yield first, {place.column: "".join(lines).strip()}


def read_whole(path: Path, place: Place) -> Iterator[Row]:
    """A whole file as one document, called after the file."""
    text = "".join(line for _, line in _lines(path, place, Path.open))
    if text:
        yield 1, {place.column: text, place.id: place.prefix}


def _lines(path: Path, place: Place, opened: Callable[..., Any]) -> Iterator[tuple[int, str]]:
    """Numbered lines of a UTF-8 file; a byte order mark is no text."""
    number = 0
    file: IO[bytes]
    with opened(path, "rb") as file:
        while line := _line(file, f"{place.name}:{number + 1}"):
            number += 1
            try:
                yield number, (line.removeprefix(BOM) if number == 1 else line).decode()
            except UnicodeDecodeError as error:
                bad = f"byte 0x{line[error.start]:02x}, the line's {error.start + 1}."
                raise InputError(f"{place.name}:{number}: no UTF-8 ({bad}); save the file as UTF-8") from error


def _line(file: IO[bytes], where: str) -> bytes:
    try:
        return file.readline()
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(where, error) from error


def read_parquet(path: Path, place: Place) -> Iterator[Row]:
    """Rows of a parquet file, a batch in memory at a time."""
    from pyarrow.parquet import ParquetFile

    with _whole(place.name), ParquetFile(path) as file:
        names = file.schema_arrow.names
        wanted = [name for name in (place.column, place.id, SENSITIVE) if name in names]
        if place.column not in names:
            known = ", ".join(names)
            raise InputError(f"{place.name} has no column {place.column}; it has {known}; name one as in file#column")
        number = 0
        for batch in file.iter_batches(batch_size=1024, columns=wanted):
            for i in range(batch.num_rows):
                number += 1
                with _whole(f"{place.name}:{number}"):
                    row = {name: batch.column(name)[i].as_py() for name in wanted}
                yield number, row


@contextmanager
def _whole(where: str) -> Iterator[None]:
    """Say where a parquet file is cut off or damaged."""
    from pyarrow import ArrowException

    try:
        yield
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: no UTF-8 ({error.reason}); write the file again as UTF-8") from error
    except (OSError, ArrowException) as error:
        raise _damaged(where, error) from error


def _damaged(where: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split()).rstrip(".")
    return InputError(f"{where}: the file is cut off or damaged ({reason}); fetch or write it again")
