"""`harness prepare`: what comes out, that its table adds up, and that stopped anywhere it ends with the same bytes."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import cli
from harness.errors import InputError
from harness.hiding import quotes
from harness.prepare import prepare, prepared
from harness.prepare_job import Words, ready
from harness.prepare_pass import Row, chunks
from harness.prepare_table import examples, markdown
from harness.reading import corpus
from tests.harness.forks import End, Job, ends
from tests.harness.peaks import peaks

RECIPE = """
name: ward
about: letters of a ward
steps:
  - length: {minimum: 60}
  - "steps.py:plain"
  - duplicates
  - "steps.py:vowels": {quantile: 0.9}
  - "steps.py:no_drafts"
"""
STEPS = '''
def plain(text: str) -> str:
    """No stars."""
    return text.replace("*", "")

def vowels(texts: list[str]) -> list[float]:
    """The share of vowels."""
    return [sum(c in "aeiou" for c in text) / len(text) for text in texts]

def no_drafts(text: str) -> bool:
    """No drafts."""
    return "draft" not in text
'''


class Quiet:
    """A watch that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def begin(self, what: str, total: int | None, done: int) -> None: ...

    def step(self, done: int) -> None: ...

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)


def raw(count: int, seed: int = 1) -> list[dict[str, str]]:
    """Documents of which every tenth is a copy, another near one, short, starred, or a draft."""
    draw = random.Random(seed)
    rows: list[dict[str, str]] = []
    for i in range(count):
        text = " ".join("".join(draw.choices("abcdefghiklmnoprstu", k=draw.randint(2, 9))) for _ in range(40))
        text = {
            1: rows[draw.randrange(len(rows))]["text"].upper() if rows else text,
            2: f"{rows[draw.randrange(len(rows))]['text']} again" if rows else text,
            3: text[:20],
            4: f"* {text} *",
            5: f"draft {text}",
        }.get(i % 10, text)
        rows.append({"id": f"{seed}-{i}", "text": text})
    return rows


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe with every kind of step, and two sources that share documents."""
    folder = tmp_path_factory.mktemp("given")
    (folder / "ward.yaml").write_text(RECIPE)
    (folder / "steps.py").write_text(STEPS)
    one, two = raw(650), raw(350, 2)
    write(folder / "one.jsonl", one)
    write(folder / "two.jsonl", two + [{**row, "id": f"x{row['id']}"} for row in one[:50]])
    return folder


def words(given: Path, output: Path, **more: Any) -> Words:
    return Words(**{"sources": f"{given}/one.jsonl,{given}/two.jsonl", "domain": f"{given}/ward.yaml", "output": output,
                    "workers": 1} | more)  # fmt: skip


def made(asked: Words) -> dict[str, Any]:
    return prepare(ready(asked), Quiet())


def rows_of(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(given: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """An undisturbed preparation."""
    output = tmp_path_factory.mktemp("whole") / "out.jsonl"
    return output, made(words(given, output))


def test_the_table_adds_up(whole: tuple[Path, dict[str, Any]], given: Path) -> None:
    output, note = whole
    assert note["in"]["documents"] == 1050 == sum(source["documents"] for source in note["sources"])
    for what, taken in (("documents", "taken"), ("tokens", "taken_tokens")):
        left = note["in"][what]
        for row in note["steps"]:
            assert row[what] == left
            left -= row[taken]
        assert left == note["kept"][what]
        assert note["kept"][what] == sum(source[f"kept_{what}"] for source in note["sources"])
    from tokenizers import Tokenizer

    count = Tokenizer.from_str(ready(words(given, output.with_name("other.jsonl"))).tokenizer)
    kept = rows_of(output)
    assert note["kept"] == {
        "documents": len(kept),
        "tokens": sum(len(count.encode(row["text"], add_special_tokens=False).ids) for row in kept),
    }


def test_every_step_takes_what_it_says(whole: tuple[Path, dict[str, Any]], given: Path) -> None:
    """Counted anew, one step after the other, in the plainest way."""
    output, note = whole
    taken = {row["step"]: row for row in note["steps"]}
    everything = [(name, row) for name in ("one", "two") for row in rows_of(given / f"{name}.jsonl")]
    long = [(name, row["id"], row["text"].replace("*", "")) for name, row in everything if len(row["text"]) >= 60]
    assert taken["length"]["taken"] == len(everything) - len(long)
    starred = sum("*" in row["text"] for _, row in everything)
    assert taken["steps.py:plain"]["changed"] == starred
    assert taken["steps.py:plain"]["characters"] == 2 * starred
    first: dict[str, str] = {}
    single, copies = [], {"within": 0, "across": 0}
    for name, key, text in long:
        same = re.sub("( again)+$", "", " ".join(text.lower().split()))
        if same in first:
            copies["within" if first[same] == name else "across"] += 1
        else:
            first[same] = name
            single.append((name, key, text))
    row = taken["duplicates"]
    assert row["taken"] == sum(copies.values())
    for where, count in copies.items():
        assert row[f"exact {where}"] + row[f"near {where}"] == count > 0
    share = [sum(c in "aeiou" for c in text) / len(text) for _, _, text in single]
    limit = sorted(share)[int(0.9 * len(share) + 0.999999) - 1]
    few = [one for one, value in zip(single, share, strict=True) if value <= limit]
    assert taken["steps.py:vowels"]["taken"] == len(single) - len(few)
    last = [(f"{name}/{key}", text) for name, key, text in few if "draft" not in text]
    assert [(row["id"], row["text"]) for row in rows_of(output)] == last


def test_outputs_of_one_name_and_two_kinds_have_a_table_each(given: Path, tmp_path: Path) -> None:
    for suffix in (".jsonl", ".parquet", ".jsonl"):
        made(words(given, tmp_path / f"a{suffix}"))
    tables = sorted(tmp_path.glob("*.prepared.json"))
    assert [json.loads(path.read_text())["output"] for path in tables] == ["a.jsonl", "a.parquet"]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet"])
def test_the_number_of_workers_changes_no_byte(
    given: Path, whole: tuple[Path, dict[str, Any]], tmp_path: Path, suffix: str
) -> None:
    made(words(given, tmp_path / f"a{suffix}"))
    (tmp_path / "two").mkdir()
    made(words(given, tmp_path / "two" / f"a{suffix}", workers=2))
    for name in (f"a{suffix}", f"a{suffix}.prepared.json"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    found = list(corpus(str(tmp_path / f"a{suffix}")).read("train"))
    assert {row["id"]: row["text"] for row in rows_of(whole[0])}.items() >= {(one.id, one.text) for one in found}
    assert (
        sorted(path.name for path in tmp_path.iterdir()) == ["a" + suffix, f"a{suffix}.prepared.json", "two"]
        or suffix == ".jsonl"
    )


def test_chunks_are_the_same_wherever_reading_goes_on() -> None:
    draw = random.Random(1)
    rows = [Row(0, str(i), "x" * draw.choice([1, 10, 10**5, 6 * 10**5])) for i in range(900)]
    once = list(chunks(rows))
    assert [row for chunk in once for row in chunk] == rows
    for number in range(len(once)):
        assert list(chunks(rows[sum(map(len, once[:number])) :])) == once[number:]


POINTS = [
    *(f"log-flushed:{time}" for time in (1, 2, 5, 7)),
    *(f"file-{done}:{time}" for done in ("written", "renamed") for time in (1, 2, 6, 11)),
]


@pytest.fixture(scope="module")
def ended(given: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[End]]]:
    """Preparations that ended at a point, each begun again; one that ended at all of them; one without room."""
    folder = tmp_path_factory.mktemp("ended")

    def job(name: str, **more: Any) -> Job:
        typed = (f"{given}/one.jsonl,{given}/two.jsonl", "--domain", f"{given}/ward.yaml", "--workers", "1")
        return Job((*typed, "--output", f"{name}.jsonl"), command="prepare", **more)

    jobs = [("whole", job("whole"))]
    for number, point in enumerate(POINTS):
        name = f"end-{number}"
        jobs += [(name, job(name, crash=point)), (name, job(name))]
    jobs += [("failing", job("failing", crash=point)) for point in POINTS[:6]] + [("failing", job("failing"))]
    jobs += [("full", job("full", limit=50_000)), ("full", job("full")), ("whole", job("whole"))]
    found: dict[str, list[End]] = {}
    for (name, _), end in zip(jobs, ends(folder, [one for _, one in jobs]), strict=True):
        found.setdefault(name, []).append(end)
    return folder, found


@pytest.mark.parametrize("name", [*(f"end-{number}" for number in range(len(POINTS))), "failing", "full"])
def test_ended_anywhere_and_begun_again_it_is_the_same(ended: tuple[Path, dict[str, list[End]]], name: str) -> None:
    folder, found = ended
    codes = [end.code for end in found[name]]
    assert codes[-1] == 0, found[name][-1].said
    assert codes[0] == (1 if name == "full" else 9), "the point was not passed"
    assert (folder / f"{name}.jsonl").read_bytes() == (folder / "whole.jsonl").read_bytes()
    one, other = (json.loads((folder / f"{each}.jsonl.prepared.json").read_text()) for each in (name, "whole"))
    passing = ("output", "key", "digest_of_the_rest")
    assert {k: v for k, v in one.items() if k not in passing} == {k: v for k, v in other.items() if k not in passing}
    assert not list(folder.glob(f".{name}*"))


def test_it_says_that_it_goes_on(ended: tuple[Path, dict[str, list[End]]]) -> None:
    said = [end[1].said for name, end in ended[1].items() if name.startswith("end-")]
    found = [re.search(r"note: goes on where it was stopped: pass (\d), [\d,]+ documents of it are done", one) for one in said]
    assert {one[1] for one in found if one} >= {"1", "2"}


def test_a_full_disk_is_a_sentence(ended: tuple[Path, dict[str, list[End]]]) -> None:
    said = ended[1]["full"][0].said
    assert "there is no room left for .full.jsonl.work" in said
    assert "type the same command again, and it goes on from where it was" in said
    assert "Traceback" not in said


def test_a_second_command_says_that_there_is_nothing_to_do(ended: tuple[Path, dict[str, list[End]]]) -> None:
    said = ended[1]["whole"][1].said
    assert "whole.jsonl is there already, prepared from this text by this recipe; nothing was done" in said
    assert "| `duplicates` " in said


def test_another_recipe_or_source_reuses_nothing(given: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    half = Job((f"{given}/one.jsonl", "--domain", f"{given}/ward.yaml", "--workers", "1", "--output", str(output)),
               crash="log-flushed:2", command="prepare")  # fmt: skip
    first = Job((f"{given}/two.jsonl", "--domain", f"{given}/ward.yaml", "--output", "other.jsonl"), command="prepare")
    assert [end.code for end in ends(tmp_path, [first, half])] == [0, 9]
    assert (tmp_path / ".out.jsonl.work" / "0" / "rows.jsonl").stat().st_size > 0
    (given / "short.yaml").write_text("name: short\nsteps: [{length: {minimum: 100}}]\n")
    watch = Quiet()
    asked = words(given, output, sources=f"{given}/one.jsonl", domain=f"{given}/short.yaml")
    found = prepare(ready(asked), watch)
    assert watch.notes[0] == "what was begun here was of other sources or another recipe; it begins anew"
    assert found["in"]["documents"] == 650
    assert [row["step"] for row in found["steps"]] == ["length"]
    assert prepared(ready(asked)) == found
    assert prepared(ready(words(given, output, sources=f"{given}/one.jsonl"))) is None


def test_other_order_and_another_model_reuse_nothing(given: Path, tmp_path: Path, model_folder: Path) -> None:
    """The order decides which duplicates stay; of a model not its word counts, but what it computes."""
    output = tmp_path / "out.jsonl"
    made(words(given, output))
    assert prepared(ready(words(given, output)))
    assert prepared(ready(words(given, output, sources=f"{given}/two.jsonl,{given}/one.jsonl"))) is None

    scorer = Path(shutil.copytree(model_folder, tmp_path / "scorer"))
    (tmp_path / "r.yaml").write_text(f"name: r\nsteps: [{{perplexity: {{model: {scorer}, maximum: 500}}}}]")
    before = ready(words(given, output, domain=f"{tmp_path}/r.yaml")).key
    assert ready(words(given, output, domain=f"{tmp_path}/r.yaml")).key == before
    config = json.loads((scorer / "config.json").read_text())
    (scorer / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.1}))
    assert ready(words(given, output, domain=f"{tmp_path}/r.yaml")).key != before


def test_every_source_has_a_name_of_its_own(tmp_path: Path) -> None:
    typed = []
    for number, name in enumerate(("n-3", "n", "n")):
        (tmp_path / str(number)).mkdir()
        typed.append(str(write(tmp_path / str(number) / f"{name}.jsonl", [{"id": "1", "text": f"text {number}"}])))
    job = ready(Words(",".join(typed), "code", tmp_path / "out.jsonl"))
    assert [row.id for row in job.rows()] == ["n-3/1", "n/1", "n-4/1"]


SECRET = "Mail to jane.doe@example.org about card 4111 1111 1111 1111. "


@pytest.mark.parametrize(("sensitive", "show"), [(True, False), (True, True), (False, False)])
def test_examples_are_anonymous_and_of_sensitive_text_not_shown(tmp_path: Path, sensitive: bool, show: bool) -> None:
    (tmp_path / "r.yaml").write_text(
        f"name: r\nsensitive: {str(sensitive).lower()}\nsteps: [{{length: {{minimum: 100}}}}, duplicates]"
    )
    rows = [{"id": "short", "text": SECRET}, *({"id": f"long{i}", "text": SECRET * 20} for i in range(2))]
    write(tmp_path / "in.jsonl", [*rows, {"id": "other", "text": "All other words than those above. " * 9}])
    asked = Words(f"{tmp_path}/in.jsonl", f"{tmp_path}/r.yaml", tmp_path / "out.jsonl", workers=1, show_text=show)
    note = made(asked)
    told = json.dumps(note)
    assert "jane.doe" not in told
    assert "4111" not in told
    assert ("Mail to" in told) is (show or not sensitive)
    short, copy = note["examples"]["length"][0], note["examples"]["duplicates"][0]
    assert (short["id"], short["characters"]) == ("short", len(SECRET))
    assert copy["like"] == "long0"
    assert [row.get("sensitive", False) for row in rows_of(tmp_path / "out.jsonl")] == [sensitive] * 2
    assert corpus(str(tmp_path / "out.jsonl")).name == "out"


def test_so_many_documents_of_each_source(given: Path, tmp_path: Path) -> None:
    found = made(words(given, tmp_path / "out.jsonl", max_documents=30))
    assert [source["documents"] for source in found["sources"]] == [30, 30]
    assert {row["id"].partition("/")[0] for row in rows_of(tmp_path / "out.jsonl")} == {"one", "two"}


def test_the_note_beside_it_is_no_text(given: Path, tmp_path: Path) -> None:
    made(words(given, tmp_path / "out.jsonl", max_documents=50))
    alone = [one.id for one in corpus(str(tmp_path / "out.jsonl")).read("train")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "out.jsonl.prepared.json"]
    assert [one.id.partition("-out")[0] for one in corpus(str(tmp_path)).read("train")] == alone


@pytest.fixture
def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: Path, tmp_path: Path
) -> Callable[..., str]:
    """`harness prepare` with these words: its one sentence, and nothing written."""
    monkeypatch.chdir(tmp_path)

    def typed(sources: str, *flags: str, output: str = "out.jsonl", domain: str = "code") -> str:
        before = [path for path in sorted(tmp_path.rglob("*")) if ".work" not in str(path)]
        source = sources.replace("GIVEN", str(given))
        monkeypatch.setattr(sys, "argv", ["harness", "prepare", source, "--domain", domain, "--output", output, *flags])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code in (1, 2)
        said = capsys.readouterr().err
        assert said.startswith("harness: ")
        assert said.count("\n") == 1, said
        assert [path for path in sorted(tmp_path.rglob("*")) if ".work" not in str(path)] == before
        return said.removeprefix("harness: ").strip().replace(str(given), "GIVEN")

    return typed


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (
            {"output": "out.csv"},
            "--output out.csv is of no kind that is written; give a name that ends in .jsonl, .jsonl.gz, .jsonl.zst, .parquet",
        ),
        ({"output": "no/out.jsonl"}, "there is no folder no for --output no/out.jsonl; make it first"),
        ({"output": "GIVEN/one.jsonl"}, "--output GIVEN/one.jsonl is a source itself; name another file"),
        ({"flags": ("--workers", "0")}, "--workers is 0; give 1 or more"),
        ({"flags": ("--max-documents", "-1")}, "--max-documents is -1; give 1 or more"),
        (
            {"sources": "GIVEN/one.jsonl,GIVEN/one.jsonl"},
            "GIVEN/one.jsonl holds the documents of a source before it; name each source once",
        ),
        (
            {"sources": "GIVEN/one.jsonl=0.5,GIVEN/two.jsonl=0.5"},
            "GIVEN/one.jsonl=0.5,GIVEN/two.jsonl=0.5 names no sources; "
            "type them with a comma between, without shares: all of each is read",
        ),
        ({"domain": "medcal"}, "unknown recipe 'medcal'; did you mean medical?"),
        (
            {"domain": "GIVEN/all.yaml"},
            "no document is left (length took 650); nothing was written; change the recipe or the source",
        ),
    ],
)
def test_what_cannot_be_done_is_one_sentence(refused: Callable[..., str], given: Path, typed: Any, sentence: str) -> None:
    (given / "all.yaml").write_text("name: all\nsteps: [{length: {minimum: 100000}}]\n")
    asked = {"sources": "GIVEN/one.jsonl", "flags": ()} | typed
    flags = asked.pop("flags")
    asked = {name: value.replace("GIVEN", str(given)) for name, value in asked.items()}
    assert refused(asked.pop("sources"), *flags, **asked) == sentence


def test_a_recipe_that_leaves_nothing_leaves_no_folder_either(refused: Callable[..., str], given: Path, tmp_path: Path) -> None:
    (given / "all.yaml").write_text("name: all\nsteps: [{length: {minimum: 100000}}]\n")
    assert "no document is left" in refused("GIVEN/one.jsonl", domain=str(given / "all.yaml"))
    assert not (tmp_path / ".out.jsonl.work").exists()


def test_the_table_spells_parameters_as_a_recipe_does() -> None:
    row = {"step": "language", "documents": 1, "tokens": 2, "taken": 0, "taken_tokens": 0}
    given = {"keep": ["en", "ko"], "near": True}
    note = {"kept": {"documents": 1, "tokens": 2}, "sources": [], "marks": {}, "in": {"characters": 5}, "tokenizer": "a"}
    assert "| keep [en, ko]; near true |" in markdown(note | {"steps": [row | {"given": given}]})


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b'{"id": "b", "text": "cut', "bad.jsonl:2: no JSON"),
        (b'{"id": "b", "text": "\xff"}', "bad.jsonl:2: no UTF-8"),
        (b'{"id": "b", "text": null}', "bad.jsonl:2: text is null"),
        (b'{"id": "b", "text": "\\ud800"}', "bad.jsonl:2: text holds \\ud800, half of a character"),
        (b'{"id": "a", "text": "again"}', "bad.jsonl:2: the id 'a' stands a second time"),
    ],
)
def test_a_bad_row_is_named(refused: Callable[..., str], given: Path, line: bytes, sentence: str) -> None:
    (given / "bad.jsonl").write_bytes(b'{"id": "a", "text": "one"}\n' + line + b"\n")
    assert refused("GIVEN/bad.jsonl").removeprefix("GIVEN/").startswith(sentence)


def test_a_file_of_another_origin_is_not_overwritten(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("mine\n")
    assert refused("GIVEN/one.jsonl") == (
        "out.jsonl is there and is not what this command wrote; remove it, or name another --output"
    )
    assert (tmp_path / "out.jsonl").read_text() == "mine\n"


def test_a_file_that_came_while_the_work_stood_still_is_not_overwritten(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / ".out.jsonl.work").mkdir()
    (tmp_path / "out.jsonl").write_text("precious")
    assert (
        refused("GIVEN/one.jsonl")
        == "out.jsonl is there and is not what this command wrote; remove it, or name another --output"
    )
    assert (tmp_path / "out.jsonl").read_text() == "precious"


def test_two_at_once_on_one_output_are_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HELD, str(tmp_path / ".out.jsonl.work")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    said = refused("GIVEN/one.jsonl")
    holder.communicate("\n")
    assert said.startswith(f"out.jsonl is in use by process {holder.pid} on ")
    assert said.endswith("; wait for it, or name another --output")


HELD = """
import sys
from pathlib import Path
from harness.files import owned
with owned(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""
HOSTILE = ["", " ", "\x00", "\x00" * 300, "é" * 5000, "a" * 200_000, "\u202e" * 200, "<" * 3000, "&amp;" * 500, "0" * 4000,
           "<p>" * 2000, "|" * 400, "[bold]x" * 99, "\n" * 999 + "x" * 300, "🙂" * 300, "1-" * 2000]  # fmt: skip


@pytest.mark.parametrize("domain", ["medical", "code"])
def test_no_document_stops_it(tmp_path: Path, domain: str) -> None:
    draw = random.Random(1)
    texts = [text for text in HOSTILE if text.strip()]
    texts += [
        "".join(chr(draw.choice([draw.randrange(32, 127), draw.randrange(1, 0xD7FF)])) for _ in range(400)) for _ in range(60)
    ]
    rows = [{"id": str(i), "text": text} for i, text in enumerate(texts)]
    write(tmp_path / "in.jsonl", [*rows, *raw(30), {"id": "code", "text": Path(__file__).read_text()}])
    note = made(Words(f"{tmp_path}/in.jsonl", domain, tmp_path / "out.jsonl", workers=1, show_text=True))
    assert note["in"]["documents"] == len(texts) + 31
    assert all("\n" not in line for line in examples(note))


def command(source: str, output: Path, *flags: str) -> list[str]:
    words = ["-m", "harness", "prepare", source, "--output", str(output), *flags]
    return [sys.executable, *words]


@pytest.mark.slow
def test_killed_at_any_time_it_goes_on_and_no_worker_stays(given: Path, tmp_path: Path) -> None:
    rows = write(tmp_path / "many.jsonl", raw(8000))
    made(words(given, tmp_path / "whole.jsonl", sources=str(rows)))
    output, draw, kills = tmp_path / "out.jsonl", random.Random(7), 0
    typed = command(str(rows), output, "--domain", f"{given}/ward.yaml", "--workers", "2")
    while not output.exists():
        running = subprocess.Popen(typed, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            running.wait(draw.uniform(1.0, 2.0) + kills / 2)
        except subprocess.TimeoutExpired:
            kills += 1
            own = psutil.Process(running.pid).children(recursive=True)
            running.kill()
            running.wait()
            _, left = psutil.wait_procs(own, timeout=10)
            assert not [one for one in left if one.status() != psutil.STATUS_ZOMBIE]
    assert kills >= 2
    subprocess.run(typed, check=True, capture_output=True)
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_says_how_to_go_on(given: Path, tmp_path: Path, workers: str) -> None:
    rows = write(tmp_path / "many.jsonl", raw(20000))
    typed = command(str(rows), tmp_path / "out.jsonl", "--domain", f"{given}/ward.yaml", "--workers", workers)
    running = subprocess.Popen(typed, stderr=subprocess.PIPE, text=True, start_new_session=True)
    state = tmp_path / ".out.jsonl.work" / "state.json"
    for _ in range(600):
        if state.exists() and json.loads(state.read_text())["position"]:
            break
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert said == "harness: stopped by SIGINT; type the same command again and it goes on from where it was\n"
    assert json.loads(state.read_text())["position"] > 0


MEMORY = """
from pathlib import Path
from harness.prepare import prepare
from harness.prepare_job import Words, ready
class Quiet:
    def begin(self, *given): pass
    def step(self, *given): pass
    def note(self, *given): pass
folder = Path(FOLDER)
prepare(ready(Words(str(folder / "in.jsonl"), "medical", folder / "out.jsonl", workers=2)), Quiet())
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    """MiB of the parent and of the largest worker, at 4 MB and at 40 MB of text of which a tenth is found twice."""
    draw = random.Random(1)
    known = ["".join(draw.choices("abcdefghiklmnoprstu", k=draw.randint(2, 9))) for _ in range(5000)]

    def needed(count: int) -> tuple[float, float]:
        folder = tmp_path / str(count)
        folder.mkdir()
        with (folder / "in.jsonl").open("w") as file:
            text = ""
            for i in range(count):
                text = text if i % 10 == 9 else " ".join(draw.choices(known, k=120))
                file.write(json.dumps({"id": str(i), "text": text}) + "\n")
        return peaks(MEMORY.replace("FOLDER", repr(str(folder))), folder)

    small, large = needed(5000), needed(50000)
    assert large[0] - small[0] < 30
    assert large[1] - small[1] < 20


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("sensitive", [True, False])
def test_an_error_of_a_users_step_repeats_no_sensitive_text(tmp_path: Path, workers: int, sensitive: bool) -> None:
    (tmp_path / "own.py").write_text(
        'def picky(text: str) -> bool:\n    if "Jane" in text:\n        raise ValueError(text)\n    return True\n'
    )
    (tmp_path / "r.yaml").write_text(f'name: r\nsensitive: {str(sensitive).lower()}\nsteps: ["own.py:picky"]\n')
    write(tmp_path / "in.jsonl", [{"id": "n1", "text": "Jane has it."}])
    with pytest.raises(InputError, match="picky failed on document 'n1'") as error:
        made(Words(f"{tmp_path}/in.jsonl", f"{tmp_path}/r.yaml", tmp_path / "out.jsonl", workers=workers))
    assert ("Jane has it" in str(error.value)) is not sensitive
    assert quotes()


WARD = "Quillfeather has it, and is well again since she came to the ward of the house behind the river of Aldon."
FAULTY = """
import sys

def texts(text: str) -> bool:
    return text if "ward" in text else True

def lists(text: str) -> str:
    return [text] if "ward" in text else text

def half(text: str) -> str:
    return text + chr(0xD800)

def leaves(text: str) -> bool:
    return sys.exit(text) if "ward" in text else True

def raises(texts: list[str]) -> list[float]:
    if texts:
        raise ValueError(texts[0])
    return []

def words(texts: list[str]) -> list[float]:
    return texts

def few(texts: list[str]) -> list[float]:
    return [1.0, 2.0] if texts else []
"""
WITHHELD = "(its words may quote sensitive text, and are withheld; --show-text shows them)"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("texts", "returned a value of type str for document 'n1'; a filter returns True or False"),
        ("lists", "returned a value of type list for document 'n1'; a cleaner returns the text"),
        ("leaves", f"failed on document 'n1': SystemExit {WITHHELD}"),
        ("raises", f"failed on 1 documents from 'n1' on: ValueError {WITHHELD}"),
        ("words", "returned no list of numbers; a scorer returns a number a document"),
        ("few", "returned 2 numbers for 1 documents; a scorer returns one a document"),
    ],
)
def test_whatever_a_step_does_no_sensitive_text_is_said(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, sentence: str
) -> None:
    monkeypatch.setattr("harness.hiding._quotes", True)
    (tmp_path / "own.py").write_text(FAULTY)
    step = f'{{"own.py:{name}": {{maximum: 1}}}}' if name in ("raises", "words", "few") else f'"own.py:{name}"'
    (tmp_path / "r.yaml").write_text(f"name: r\nsensitive: true\nsteps: [{step}]\n")
    write(tmp_path / "in.jsonl", [{"id": "n1", "text": WARD}])
    assert refused("in.jsonl", domain="r.yaml") == f"{tmp_path}/own.py:{name} {sentence}"


def test_half_a_character_of_a_users_cleaner_is_named(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.py").write_text(FAULTY)
    (tmp_path / "r.yaml").write_text('name: r\nsteps: ["own.py:half"]\n')
    write(tmp_path / "in.jsonl", [{"id": "n1", "text": WARD}])
    assert "half returned text with half of a character (a lone surrogate) for document 'n1'" in refused(
        "in.jsonl", domain="r.yaml"
    )


def test_a_fault_of_the_program_quotes_no_sensitive_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*given: Any) -> None:
        raise KeyError(WARD)

    monkeypatch.setattr("harness.hiding._quotes", True)
    monkeypatch.setattr("harness.prepare.survey", broken)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in.jsonl", [{"id": "n1", "text": WARD}])
    monkeypatch.setattr(sys, "argv", ["harness", "prepare", "in.jsonl", "--domain", "medical", "--output", "out.jsonl"])
    with pytest.raises(SystemExit):
        cli.main()
    said = capsys.readouterr().err
    assert "KeyError" in said
    assert "Quillfeather" not in said
