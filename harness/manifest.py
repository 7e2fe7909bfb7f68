"""A manifest of checkpoints: a CSV with a row a checkpoint, read strictly; every error names file and line.

    path,arm,seed,step,tokens,lr,role
    out/plain/step-500,plain,1,500,4M,1,control
    out/kl/step-500,kl,1,500,4M,0.5,arm

`path` alone is needed: a folder (relative to the manifest) or a hub name with a revision. One arm is the control. Of several
steps of an arm and seed the last is what is compared, and the others are its course.
"""

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.elsewhere import NAME, RESERVED, Checkpoint
from harness.errors import InputError, did_you_mean
from harness.model import HUB
from harness.typed import number

COLUMNS = ("path", "arm", "seed", "step", "tokens", "lr", "role")
ROLES = ("control", "arm")
LARGEST = 2**53
"""Beyond it a typed number is not told from its neighbour."""
Line = tuple[str, Checkpoint, str]
"""file:line, what stands there, its role."""


def read(path: Path) -> tuple[tuple[Checkpoint, ...], str]:
    """The checkpoints of a manifest, the control's first, and the control's name."""
    lines = [_line(f"{path}:{at}", row, path.parent) for at, row in _rows(path)]
    if not lines:
        raise InputError(f"{path} names no checkpoint; write one a line below the columns {','.join(COLUMNS)}")
    _refuse_doubles(lines)
    _refuse_nameless_steps(lines)
    control = _control(path, lines)
    found = [checkpoint for _, checkpoint, _ in lines]
    return tuple(sorted(found, key=lambda one: one.arm != control)), control


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and the cells that are not empty."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the manifest {path} cannot be read: {error}") from error
    reader = csv.reader(text.splitlines(), strict=True)
    try:
        head = [name.strip() for name in next(reader, [])]
        _refuse_columns(path, head)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(head):
                raise InputError(f"{path}:{reader.line_num} has {len(cells)} cells, the first line names {len(head)} columns")
            pairs = zip(head, cells, strict=True)
            yield reader.line_num, {name: cell.strip() for name, cell in pairs if cell.strip()}
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num} is no CSV: {error}") from error


def _refuse_columns(path: Path, head: Sequence[str]) -> None:
    for name in head:
        if name not in COLUMNS:
            raise InputError(f"{path}:1 has an unknown column {name!r}; {did_you_mean(name, COLUMNS)}")
        if head.count(name) > 1:
            raise InputError(f"{path}:1 names the column {name} twice")
    if "path" not in head:
        raise InputError(f"{path}:1 has no column path; it may have {', '.join(COLUMNS)}")


def _line(where: str, row: dict[str, str], folder: Path) -> Line:
    if "path" not in row:
        raise InputError(f"{where} has no path; give a folder, or a hub name (owner/name@revision)")
    local = folder / row["path"]
    if not local.is_dir() and not HUB.fullmatch(row["path"]):
        raise InputError(f"{where}: there is no folder {local}, and {row['path']!r} is no hub name (owner/name@revision)")
    arm = row.get("arm") or Path(row["path"]).name
    if not NAME.fullmatch(arm) or arm == RESERVED:
        raise InputError(f"{where}: {arm!r} can be no name of an arm; give letters, digits and ._:=+@- (and not {RESERVED!r})")
    if (role := row.get("role", "arm")) not in ROLES:
        raise InputError(f"{where}: unknown role {role!r}; give control or arm")
    word = str(local) if local.is_dir() else row["path"]
    counts = {name: _count(where, name, row) for name in ("seed", "step", "tokens")}
    seed = 1 if counts["seed"] is None else counts["seed"]
    return where, Checkpoint(word, arm, seed, counts["step"], counts["tokens"], _rate(where, row)), role


def _count(where: str, name: str, row: dict[str, str]) -> int | None:
    if name not in row:
        return None
    found: Any = number(row[name])
    found = int(found) if isinstance(found, float) and found.is_integer() else found
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < LARGEST:
        raise InputError(f"{where}: {name} is {row[name]!r}; give a whole number (k, M and B are understood)")
    return found


def _rate(where: str, row: dict[str, str]) -> float | None:
    if "lr" not in row:
        return None
    found: Any = number(row["lr"])
    if not isinstance(found, int | float) or isinstance(found, bool) or not 0 < found < math.inf:
        raise InputError(f"{where}: lr is {row['lr']!r}; give a learning rate, as in 3e-5")
    return float(found)


def _refuse_doubles(lines: Iterable[Line]) -> None:
    seen: dict[Any, str] = {}
    for where, one, _ in lines:
        key = (one.arm, one.seed, one.step)
        if key in seen:
            step = "" if one.step is None else f", step {one.step}"
            raise InputError(f"{where} is arm {one.arm}, seed {one.seed}{step} again, as {seen[key]} is; give each once")
        seen[key] = where


def _refuse_nameless_steps(lines: Sequence[Line]) -> None:
    """Of several checkpoints of one training every one must say where it stands."""
    for where, one, _ in lines:
        alike = [other for _, other, _ in lines if (other.arm, other.seed) == (one.arm, one.seed)]
        if one.step is None and len(alike) > 1:
            raise InputError(f"{where}: arm {one.arm}, seed {one.seed} has {len(alike)} checkpoints; give the step of each")
        if len(alike) > 1 and one.tokens is None and any(other.tokens for other in alike):
            raise InputError(f"{where}: other steps of arm {one.arm}, seed {one.seed} say their tokens; give all or none")


def _control(path: Path, lines: Sequence[Line]) -> str:
    """The one arm whose rows are the control's."""
    marked = [(where, one.arm) for where, one, role in lines if role == "control"]
    if not marked:
        raise InputError(f"{path}: no row has the role control; mark the rows of plain training, which the arms stand against")
    where, control = marked[0]
    for other, arm in marked:
        if arm != control:
            raise InputError(f"{other}: {arm} is a second control beside {control} of {where}; one arm is the control")
    for other, one, role in lines:
        if one.arm == control and role != "control":
            raise InputError(f"{other}: {control} is the control by {where}, and an arm here; mark all of its rows")
    return control
