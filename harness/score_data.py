"""Documents of tasks as tables: local JSON Lines and Parquet, mirrors of the hub's data sets, and text in bits per byte."""

import json
from collections.abc import Iterable, Iterator, Mapping
from glob import glob
from itertools import islice
from pathlib import Path
from typing import Any

from harness import mirrors
from harness.errors import HarnessError, InputError, said
from harness.files import cache, write_text
from harness.plan import digest, file_digest
from harness.score_texts import CHARACTERS, cut
from harness.suite import Moved, Task, Text

Tables = Mapping[str, Any]
"""Split -> table of documents."""


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSON Lines file; a row that is no object is named by file and line."""
    if not path.is_file():
        raise InputError(f"{path} is no file; give JSON Lines, one document a line")
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}:{number} is no JSON ({error})") from error
        if not isinstance(row, dict):
            raise InputError(f"{path}:{number} is no JSON object; every line is one document")
        rows.append(row)
    if not rows:
        raise InputError(f"{path} holds no documents")
    return rows


def table(rows: list[dict[str, Any]], where: str) -> Any:
    """Rows as a table in memory: nothing is written to a cache that could go stale."""
    import pyarrow
    from datasets import Dataset

    keys = dict.fromkeys(key for row in rows for key in row)
    try:
        return Dataset.from_list([{key: row.get(key) for key in keys} for row in rows])
    except (pyarrow.ArrowException, TypeError, ValueError) as error:
        raise InputError(f"{where}: documents differ in the type of a field ({said(error)})") from error


def tables(files: Mapping[str, Any]) -> Tables:
    """A table a split, from its file."""
    return {split: _file(Path(path)) for split, path in files.items()}


def _file(path: Path) -> Any:
    """A table from JSON Lines, Parquet, or a folder of one split that save_to_disk wrote."""
    import pyarrow.parquet
    from datasets import Dataset, load_from_disk
    from datasets.table import InMemoryTable

    try:
        if path.is_dir():
            return load_from_disk(str(path))
        if path.suffix == ".parquet":
            return Dataset(InMemoryTable(pyarrow.parquet.read_table(path)))
    except Exception as error:  # pyarrow and datasets raise many kinds
        raise InputError(f"{path} cannot be read as a table ({said(error)})") from error
    return table(read_rows(path), str(path))


def folder_tables(folder: Path, configuration: str | None) -> Tables:
    """The splits of a folder: what save_to_disk wrote (a subfolder a configuration), or a copy of a hub repository."""
    from datasets import load_dataset, load_from_disk

    own = folder / (configuration or "")
    saved = next((place for place in (own, folder) if (place / "dataset_dict.json").is_file()), None)
    try:
        found: Any = (
            load_from_disk(str(saved))
            if saved
            else load_dataset(str(folder), configuration, cache_dir=_own_cache(folder.rglob("*")))
        )
        return dict(found)
    except Exception as error:  # as above
        what = f" (configuration {configuration})" if configuration else ""
        raise InputError(f"the mirror {folder}{what} cannot be read ({said(error)})") from error


def _own_cache(paths: Iterable[Path]) -> str:
    """Where `datasets` keeps what it made of files: by their contents, as its own cache goes by times and sizes."""
    files = sorted(path for path in paths if path.is_file())
    return str(cache() / "mirrors" / digest([[str(path), file_digest(path)] for path in files]))


def on_disk(name: str, configuration: str | None, options: Mapping[str, Any]) -> Tables | None:
    """The splits of a data set that by its own definition is made of files of this machine; None: it is not."""
    from datasets import load_dataset

    given = options.get("data_files") or ()
    words = [given] if isinstance(given, str) else [*(given.values() if isinstance(given, Mapping) else given)]
    patterns = [str(each) for word in words for each in ([word] if isinstance(word, str) else word)]
    folders = [
        place for place in (name if "/" in name else "", str(options.get("data_dir") or "")) if Path(place or "?").is_dir()
    ]
    paths = [Path(path) for pattern in patterns for path in glob(pattern, recursive=True)]
    paths += [path for folder in folders for path in Path(folder).rglob("*")]
    if not paths or "split" in options or ("/" in name and not Path(name).is_dir()):
        return None
    kept = {key: value for key, value in options.items() if key != "trust_remote_code"}
    try:
        found: Any = load_dataset(name, configuration, **kept, cache_dir=_own_cache(paths))
    except Exception as error:  # as above
        raise InputError(f"{paths[0]} cannot be read as a data set ({said(error)})") from error
    return dict(found)


def mirrored(name: str, configuration: str | None) -> Tables | None:
    """The splits of a hub data set that lies on this machine; None: it does not."""
    place = mirrors.current().dataset(name, configuration)
    if place is None:
        return None
    return folder_tables(place, configuration) if isinstance(place, Path) else tables(place)


def moved_tables(moved: Moved, split: str) -> Tables:
    """Items that were moved, under the fields and the split that the definition reads."""
    from datasets import load_dataset

    local = mirrored(moved.dataset, moved.config)
    rows = local[moved.split] if local else load_dataset(moved.dataset, moved.config, split=moved.split)
    return {split: table([{new: _inner(row, old) for new, old in moved.fields} for row in rows], moved.dataset)}


def _inner(row: Any, path: str) -> Any:
    for name in path.split("."):
        row = row[name]
    return row


def kept(text: Text) -> Path:
    """Where the documents of a hub data set are kept once they were read."""
    return cache() / "texts" / f"{digest(vars(text))}.jsonl"


def text_documents(task: Task) -> list[dict[str, Any]]:
    """Documents of a task that scores text: from its own file, a mirror, what was kept, or the hub."""
    text = task.text
    assert text is not None
    local = tables(task.files) if task.files else mirrored(text.dataset or "", text.config)
    if local is not None:
        if text.split not in local:
            raise InputError(f"task {task.name} reads the split {text.split}, and its files have {', '.join(sorted(local))}")
        return list(_documents(task.name, text, local[text.split]))
    if not kept(text).is_file():
        made = list(_documents(task.name, text, _stream(text)))
        write_text(kept(text), "".join(json.dumps(document, ensure_ascii=False) + "\n" for document in made))
    return read_rows(kept(text))


def _documents(name: str, text: Text, rows: Any) -> Iterator[dict[str, str]]:
    """The first documents that are not blank, by their place, cut as held-out text is."""
    return islice(_texts(name, text, rows), text.documents)


def _texts(name: str, text: Text, rows: Any) -> Iterator[dict[str, str]]:
    for number, row in enumerate(rows):
        if text.column not in row:
            raise InputError(f"task {name} reads the field {text.column}, and its documents have {', '.join(map(str, row))}")
        words = row[text.column]
        if words is not None and not isinstance(words, str):
            raise InputError(
                f"task {name}: document {number} holds no text in its field {text.column}, "
                f"but a value of another kind ({type(words).__name__})"
            )
        if words and words.strip():
            yield {"id": str(number), "text": cut(words, CHARACTERS)}


def _stream(text: Text) -> Any:
    """Rows of a hub data set, read as far as they are needed; data alone, never code that comes with it."""
    from datasets import load_dataset

    if text.dataset is None:
        raise HarnessError("text without a data set needs files")
    files = {text.split: text.file} if text.file else None
    return load_dataset(text.dataset, text.config, data_files=files, split=text.split, revision=text.revision, streaming=True)
