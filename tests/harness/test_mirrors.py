"""mirrors.yaml: what it may say, what stands for the hub's data sets and models, and what is missing beside it."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import mirrors
from harness.corpus import Published
from harness.errors import HarnessError, InputError
from harness.lookup import find_corpus
from harness.lookup import named as asked_for
from harness.model import locate
from harness.score import completed, folder_suite, prepare, refuse_missing, score, suite_key
from harness.score_data import kept, text_documents
from harness.score_state import quiet
from harness.score_tasks import build
from harness.settings import settings
from harness.suite import Suite, Task, Text
from suites import medical
from suites.file import from_file, named

SHARED = Path(os.environ.get("HARNESS_SHARED") or Path(__file__).parents[3] / "shared")
PAIR = {"sentence_good": "the cat sees it", "sentence_bad": "the cat see it"}
ROWS = [{**PAIR, "UID": str(i)} for i in range(6)]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A current folder without mirrors, and caches of its own."""
    import datasets

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(mirrors.VARIABLE, raising=False)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    yield
    os.environ.pop(mirrors.VARIABLE, None)


def jsonl(path: Path, rows: list[Any] = ROWS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write(**content: Any) -> Path:
    """`mirrors.yaml` in the current folder; YAML takes JSON."""
    path = Path("mirrors.yaml")
    path.write_text(json.dumps(content))
    return path


def suite(*tasks: Task) -> Suite:
    return Suite("toy", "a toy", tasks, key="toy")


def test_a_configuration_comes_before_its_data_set() -> None:
    jsonl(Path("a.jsonl"))
    Path("folder").mkdir()
    write(datasets={"o/n": "folder", "o/n/part": {"test": "a.jsonl"}}, models={"o/m": "folder"})
    found = mirrors.current()
    assert found.dataset("o/n", "part") == {"test": Path("a.jsonl").resolve()}
    assert found.dataset("o/n", "other") == found.dataset("o/n") == found.model("o/m") == Path("folder").resolve()
    assert found.dataset("o/other") is found.model("o/n") is None


def test_one_file_is_read_the_first_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [tmp_path / name for name in ("here", "variable", "typed")]
    for place in places:
        place.mkdir()
        (place / "m").mkdir()
        (place / "mirrors.yaml").write_text("models: {o/m: m}")
    assert mirrors.current().path is None
    monkeypatch.chdir(places[0])
    assert mirrors.model("o/m") == str(places[0] / "m")
    monkeypatch.setenv(mirrors.VARIABLE, str(places[1] / "mirrors.yaml"))
    assert mirrors.model("o/m") == str(places[1] / "m")
    mirrors.use(str(places[2] / "mirrors.yaml"))
    assert mirrors.model("o/m") == str(places[2] / "m")
    assert mirrors.model("o/other") == "o/other"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("datasts: {}", "mirrors.yaml: datasts: extra inputs are not permitted; allowed: datasets, models"),
        ("datasets: {hellaswag: x}", "'hellaswag' is no name of the hub; write owner/name or owner/name/configuration"),
        ("models: {o/n/c: x}", "'o/n/c' is no name of the hub; write owner/name or owner/name@revision"),
        ("datasets: {o/n: {}}", "datasets.o/n"),
        ("datasets: {o/n: [a]}", "datasets.o/n"),
        ("datasets: {o/n: {test: {a: b}}}", "datasets.o/n"),
        ("datasets: {o/n: x}\ndatasets: {}", "mirrors.yaml:2: the key 'datasets' stands twice"),
        ("datasets: !!python/object:os.system x", "could not determine a constructor"),
        ("datasets: {o/n: {test: no.jsonl}}\nmodels: {o/m: gone}", "names what is not there: models.o/m: "),
        ("datasets: {o/n: {test: no.jsonl}}\nmodels: {o/m: gone}", "; datasets.o/n.test: "),
    ],
)
def test_errors_name_file_and_key(text: str, says: str) -> None:
    Path("mirrors.yaml").write_text(text)
    with pytest.raises(InputError) as error:
        mirrors.current()
    assert says in str(error.value)
    assert "mirrors.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def saved(kind: str) -> str | dict[str, str]:
    """ROWS as a mirror may hold them."""
    from datasets import Dataset, DatasetDict

    table = Dataset.from_list(ROWS)
    if kind == "jsonl":
        return {"train": str(jsonl(Path("rows.jsonl")))}
    if kind == "parquet":
        table.to_parquet("rows.parquet")
        return {"train": "rows.parquet"}
    if kind == "one split":
        table.save_to_disk("split")
        return {"train": "split"}
    if kind == "splits":
        DatasetDict(train=table).save_to_disk("splits")
        return "splits"
    if kind == "configurations":
        DatasetDict(train=table).save_to_disk("all/wh_island")
        return "all"
    jsonl(Path("copy/wh_island/train.jsonl"))
    jsonl(Path("copy/other/train.jsonl"), [PAIR])
    card = "configs:\n" + "".join(
        f"- config_name: {name}\n  data_files:\n  - {{split: train, path: {name}/train.jsonl}}\n"
        for name in ("wh_island", "other")
    )
    Path("copy/README.md").write_text(f"---\n{card}---\n")
    return "copy"


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "one split", "splits", "configurations", "copy of a repository"])
def test_a_stock_task_reads_a_mirror(kind: str) -> None:
    write(datasets={"nyu-mll/blimp": saved(kind)})
    with quiet():
        (built,) = build(Task("blimp_wh_island")).values()
    assert [document["UID"] for document in built.eval_docs] == [row["UID"] for row in ROWS]
    assert built.doc_to_choice(built.eval_docs[0]) == list(PAIR.values())


def test_a_group_reads_mirrors_for_each_of_its_members() -> None:
    jsonl(Path("all.jsonl"))
    jsonl(Path("island.jsonl"), ROWS[:2])
    write(datasets={"nyu-mll/blimp": {"train": "all.jsonl"}, "nyu-mll/blimp/wh_island": {"train": "island.jsonl"}})
    with quiet():
        built = build(Task("blimp"))
    assert {name: len(leaf.eval_docs) for name, leaf in built.items() if name == "blimp_wh_island"} == {"blimp_wh_island": 2}
    assert [len(leaf.eval_docs) for leaf in built.values()].count(6) == 66


def test_examples_come_from_a_mirror_or_are_missed() -> None:
    question = {"question": "1+1?", "choices": ["1", "2", "3", "4"], "answer": 1}
    jsonl(Path("test.jsonl"), [question] * 3)
    jsonl(Path("dev.jsonl"), [{**question, "question": f"example {i}?"} for i in range(5)])
    write(datasets={"cais/mmlu": {"test": "test.jsonl"}})
    with quiet():
        (plain,) = build(Task("mmlu_anatomy")).values()
        with pytest.raises(InputError, match="task mmlu_anatomy takes 5 examples from its split dev; give a file for it too"):
            build(Task("mmlu_anatomy", fewshot=5))
        write(datasets={"cais/mmlu": {"test": "test.jsonl", "dev": "dev.jsonl"}})
        (asked,) = build(Task("mmlu_anatomy", fewshot=5)).values()
    assert plain.config.num_fewshot in (None, 0)
    assert asked.config.num_fewshot == 5
    assert [document["question"] for document in asked.fewshot_docs()] == [f"example {i}?" for i in range(5)]


def test_a_metric_that_does_not_count_is_not_fetched() -> None:
    """KoBEST's f1 is a script on the hub."""
    jsonl(Path("rows.jsonl"), [{"paragraph": "a", "question": "b?", "label": 1}])
    write(datasets={"skt/kobest_v1": {"test": "rows.jsonl"}})
    with quiet():
        (built,) = build(Task("kobest_boolq")).values()
    assert list(built.aggregation()) == ["acc"]


def test_items_that_were_moved_have_the_fields_that_prompts_are_made_of() -> None:
    """PubMedQA from the authors' own data set, or from a mirror of the one that lm-eval names."""
    (task,) = (task for task in medical.TASKS if task.name == "pubmedqa")
    asked = {"question": "Is it?", "context": {"contexts": ["It is.", "So it is."]}, "final_decision": "yes"}
    jsonl(Path("labelled.jsonl"), [asked])
    stock = {"QUESTION": "Is it?", "CONTEXTS": ["It is.", "So it is."], "final_decision": "yes"}
    jsonl(Path("official.jsonl"), [stock] * 2)
    with pytest.raises(InputError, match=r"the data set qiaojin/PubMedQA \[test for pubmedqa\]"):
        refuse_missing([suite(task)])
    found = []
    for name, split, file in (("qiaojin/PubMedQA", "train", "labelled"), ("bigbio/pubmed_qa", "test", "official")):
        write(datasets={name: {split: f"{file}.jsonl"}})
        refuse_missing([suite(task)])
        with quiet():
            (built,) = build(replace(task)).values()
        found.append((len(built.eval_docs), built.doc_to_text(built.eval_docs[0]), built.doc_to_target(built.eval_docs[0])))
    prompt = "Abstract: It is.\nSo it is.\nQuestion: Is it?\nAnswer:"
    assert [(count, text, target) for count, text, target in found] == [(1, prompt, "yes"), (2, prompt, "yes")]


def test_an_edited_mirror_is_another_suite() -> None:
    jsonl(Path("rows.jsonl"))
    write(datasets={"nyu-mll/blimp": {"train": "rows.jsonl"}})
    keys = {suite_key(suite(Task("blimp_wh_island"))) for _ in range(2)}
    assert len(keys) == 1
    jsonl(Path("rows.jsonl"), [*ROWS[:5], {**ROWS[5], "UID": "changed"}])
    assert suite_key(suite(Task("blimp_wh_island"))) not in keys


TEXT = Text("o/text", "train", "body", config="en", revision="abc", documents=3)


def test_text_comes_from_a_mirror_and_says_what_it_lacks() -> None:
    jsonl(Path("text.jsonl"), [{"body": body} for body in ("", "one", "two " * 4000, "three", "four")])
    write(datasets={"o/text/en": {"train": "text.jsonl"}})
    found = text_documents(Task("t", text=TEXT))
    assert [document["id"] for document in found] == ["1", "2", "3"], "the first that are not blank, by their place"
    assert len(found[1]["text"]) == 7999
    with pytest.raises(InputError, match="task t reads the field text, and its documents have body"):
        text_documents(Task("t", text=Text("o/text", "train", config="en")))
    with pytest.raises(InputError, match="task t reads the split test, and its files have train"):
        text_documents(Task("t", text=Text("o/text", config="en")))
    with quiet():
        (built,) = build(Task("t", metric="bits_per_byte", identity="id", text=TEXT)).values()
    assert [document["text"] for document in built.eval_docs][::2] == ["one", "three"]


def test_text_of_the_hub_is_streamed_once_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: list[Any] = []

    def load(*given: Any, **named: Any) -> Iterator[dict[str, str]]:
        asked.append((given, named))
        for number in range(3):
            yield {"body": f"document {number}"}
        raise AssertionError("no more is read than is needed")

    monkeypatch.setattr(datasets, "load_dataset", load)
    first = text_documents(Task("t", text=TEXT))
    assert asked == [(("o/text", "en"), {"data_files": None, "split": "train", "revision": "abc", "streaming": True})]
    monkeypatch.delattr(datasets, "load_dataset")
    assert text_documents(Task("t", text=TEXT)) == first == [{"id": str(i), "text": f"document {i}"} for i in range(3)]
    assert kept(TEXT).is_file()
    refuse_missing([suite(Task("t", text=TEXT))])


def test_models_and_texts_of_the_hub_are_read_from_mirrors(model_folder: Path) -> None:
    jsonl(Path("text.jsonl"), [{"body": f"document {i}"} for i in range(90)])
    write(
        datasets={"o/text": {"train": "text.jsonl"}, "o/other": {"test": "text.jsonl"}}, models={"o/model": str(model_folder)}
    )
    base = locate("o/model")
    assert (base.name, base.folder) == ("o/model", model_folder)
    assert len(list(find_corpus("o/text#body").read("train"))) > 80
    with pytest.raises(InputError, match=r"datasets\.o/other has no split train, and o/other is to be read as text"):
        find_corpus("o/other")


def test_all_that_is_missing_stands_in_one_sentence(model_folder: Path) -> None:
    jsonl(Path("rows.jsonl"))
    write(datasets={"nyu-mll/blimp": {"train": "rows.jsonl"}}, models={"o/here": str(model_folder)})
    tasks = [Task("hellaswag"), Task("blimp"), Task("mmlu"), Task("mmlu_anatomy"), Task("t", text=TEXT)]
    with pytest.raises(InputError) as error:
        refuse_missing(
            [suite(*tasks)],
            ["o/model@abc", "o/here", str(model_folder), "world"],
            {"o/words#body": Published("o/words", "", text="body")},
        )
    text = str(error.value)
    assert (
        "cannot be had: the model o/model@abc, the text o/words#body, the data set Rowan/hellaswag [validation for hellaswag], "
        "the data set cais/mmlu [test for mmlu, mmlu_anatomy], the data set o/text [train for t] (not in the cache, and "
        "the hub cannot be reached or HF_HUB_OFFLINE is set)."
    ) in text
    assert "blimp" not in text
    assert "o/here" not in text
    assert text.endswith(
        "as in `datasets: {o/words: {train: train.jsonl#body}}` and `models: {o/model@abc: folder}`, or leave it out"
    )
    assert "\n" not in text


def test_a_revision_that_is_here_is_not_missed_and_another_one_is(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the cache by its commit alone, as `owner/name@commit` leaves it; a mirror stands for what it names and no more."""
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    kept = tmp_path / "hub" / "models--o--model" / "snapshots" / commit / "config.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}")
    write(models={"o/here": str(model_folder), "o/there@step100": str(model_folder)})
    Path("out").mkdir()
    refuse_missing([], [f"o/model@{commit}", "o/here", "o/there@step100", "out/mistyped"])
    with pytest.raises(InputError, match="the model out/mistyped is neither a folder here nor to be had from the hub"):
        locate("out/mistyped")
    assert locate("o/there@step100").folder == model_folder
    for name in ("o/model@step9", "o/here@step100", "o/there"):
        with pytest.raises(InputError, match=f"the model {name} "):
            refuse_missing([], [name])


def test_a_mistyped_file_is_no_text_of_the_hub(model_folder: Path) -> None:
    Path("data").mkdir()
    jsonl(Path("data/notes.jsonl"))
    asked = {"model": str(model_folder), "suites": []}
    assert asked_for(settings({**asked, "new": "data/note.jsonl"}, "the command line")) == []
    with pytest.raises(InputError, match=r"the text hub:o/words, the text o/n#body \(not in the cache"):
        asked_for(settings({**asked, "new": "hub:o/words", "old": "o/n#body", "task": "data/notes.jsonl"}, "the command line"))


def test_a_hub_that_cannot_be_reached_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer would take it half a minute; the next listing asks again."""
    import datasets
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    asked: list[bool] = []

    def unreached(name: str, *_: Any, **__: Any) -> None:
        asked.append(constants.HF_HUB_OFFLINE)
        raise ConnectionError(f"Couldn't reach {name} on the Hub")

    monkeypatch.setattr(datasets, "load_dataset_builder", unreached)
    for _ in range(2):
        with pytest.raises(InputError, match=r"hellaswag.*piqa.*winogrande.*the hub cannot be reached"):
            refuse_missing([suite(Task("hellaswag"), Task("piqa"), Task("winogrande"))])
    assert asked == [False, True, True] * 2


def test_failures_while_loading_are_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def fail(path: str, *_: Any, **__: Any) -> None:
        raise RuntimeError(f"Dataset scripts are no longer supported, but found {path}.py")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(HarnessError) as error:
        prepare(suite(Task("arc_easy")), suite(Task("piqa", metric="acc_norm")))
    assert "ai2_arc ARC-Easy [test for arc_easy] (RuntimeError: Dataset scripts are no longer" in str(error.value)
    assert "; the data set baber/piqa [validation for piqa] (RuntimeError: " in str(error.value)


EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_readme_s_examples_run(model_folder: Path) -> None:
    """A suite file with its files, one text from a mirror; and the mirrors file as it stands."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    asked = {"QUESTION": "Is it?", "CONTEXTS": ["It is."], "LABELS": ["A"], "final_decision": "yes", "LONG_ANSWER": "It is."}
    jsonl(Path("pubmedqa_test.jsonl"), [{**asked, "id": i} for i in range(3)])
    jsonl(Path("pubmedqa_train.jsonl"), [{**asked, "id": i} for i in range(3)])
    jsonl(Path("letters.jsonl"), [{"body": "The river is old."}, {"body": "The tower is wide."}])
    jsonl(Path("web.jsonl"), [{"text": "The market is quiet."}])
    write(datasets={"allenai/c4": {"validation": "web.jsonl"}})
    Path("clinic.yaml").write_text((EXAMPLES / "clinic.yaml").read_text())
    suite = completed(from_file("clinic.yaml"))
    refuse_missing([suite])
    model, tokenizer = AutoModelForCausalLM.from_pretrained(model_folder), AutoTokenizer.from_pretrained(model_folder)
    table = score(model.eval(), tokenizer, suite, length=2048)
    assert table.task.value_counts().to_dict() == {"pubmedqa": 3, "letters": 2, "c4_text": 1}
    assert table.prompt.str.fullmatch(r"(\[withheld: .*\])?").all(), "the suite is sensitive"

    for name in (
        *("hellaswag_validation.jsonl", "blimp/wh_island.jsonl", "mmlu/test.jsonl", "smollm/config.json"),
        *("pubmed.jsonl.zst", "held.parquet"),
    ):
        jsonl(Path(name))
    Path("mirrors.yaml").write_text((EXAMPLES / "mirrors.yaml").read_text())
    with quiet():
        (built,) = build(Task("blimp_wh_island")).values()
    assert len(built.eval_docs) == len(ROWS)
    assert mirrors.model("HuggingFaceTB/SmolLM2-135M") == str(Path("smollm").resolve())


def cut(path: Path, count: int, **fields: str) -> Path:
    """A copy of the first rows of a data file, with short texts and renamed fields, so that a test takes seconds."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[:count]]
    for row in rows:
        row |= {"page": row["page"][:1500]} if "page" in row else {}
        row |= {"text": row["text"][:1500]} if "text" in row else {}
        row |= {"CONTEXTS": [text[:300] for text in row["CONTEXTS"][:1]]} if "CONTEXTS" in row else {}
        row |= {new: row[old] for old, new in fields.items()}
    return jsonl(Path(path.name), rows)


def test_real_files_stand_for_the_hub() -> None:
    """HellaSwag, six paradigms of BLiMP, PubMedQA with examples, WikiText, and text of three domains, with a real model."""
    data, folder = SHARED / "data", SHARED / "models" / "general6m"
    if not (data.is_dir() and folder.is_dir()):
        pytest.skip(f"no evaluation files and model below {SHARED} (HARNESS_SHARED)")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    held = data / "eval"
    blimp = [path.stem for path in sorted((held / "blimp").iterdir())]
    assert len(blimp) == 6
    pubmedqa = {split: str(cut(held / f"pubmedqa_{split}.jsonl", 12)) for split in ("test", "train")}
    files = {
        "Rowan/hellaswag": {"validation": str(cut(held / "hellaswag_validation.jsonl", 12))},
        **{f"nyu-mll/blimp/{name}": {"train": str(cut(held / "blimp" / f"{name}.jsonl", 12))} for name in blimp},
        "bigbio/pubmed_qa": pubmedqa,
        "EleutherAI/wikitext_document_level": {"test": str(cut(held / "wikitext2_test.jsonl", 4))},
        "openai/openai_humaneval": {"test": str(held / "humaneval_test.jsonl")},
        "allenai/c4": {"validation": str(cut(data / "general" / "general_test.jsonl", 4))},
        "MedRAG/pubmed": {"train": str(cut(data / "medical" / "pubmed_test.jsonl", 4, text="content"))},
        "codeparrot/codeparrot-clean-valid": {"train": str(cut(data / "code" / "python_test.jsonl", 4, text="content"))},
    }
    write(datasets=files, models={"owner/general6m": str(folder)})
    words = f"hellaswag,{','.join(f'blimp_{name}' for name in blimp)},wikitext,c4_text,pubmed_text,python_text"
    asked = named(words)
    examples = Task("pubmedqa", "gain", "acc", 1 / 3, None, fewshot=2)
    prompts = Text("openai/openai_humaneval", column="prompt", documents=4)
    humaneval = Task("humaneval_text", metric="bits_per_byte", text=prompts)
    asked = completed(Suite("real", "local files", (*asked.tasks, examples, humaneval), "real"))
    refuse_missing([asked], ["owner/general6m"])
    base = locate("owner/general6m")
    model = AutoModelForCausalLM.from_pretrained(base.folder).eval()
    table = score(model, AutoTokenizer.from_pretrained(base.folder), asked)
    means = table.groupby("task").value.mean()
    assert set(means.index) == {task.name for task in asked.tasks}
    assert set(table[table.task == "pubmedqa"].choice) <= {0, 1, 2}
    assert table[table.task == "pubmedqa"].prompt.str.count("Abstract:").min() == 3
    texts = means[["wikitext", "c4_text", "pubmed_text", "python_text", "humaneval_text"]]
    assert texts.between(1.5, 5).all()
    assert texts["c4_text"] < texts["python_text"], "the model was trained on general English"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('datasets: {a/b: "x\\0y"}', "mirrors.yaml: 'x\\x00y' can be no path (embedded null byte)"),
        ("datasets: {a/b: loop}", "mirrors.yaml: 'loop' can be no path (Symlink loop from "),
        ("datasets: {a/b: ~nobody-of-this-name/x}", "mirrors.yaml: '~nobody-of-this-name/x' can be no path ("),
        (f"datasets: {{a/b: {'x' * 5000}}}", "mirrors.yaml names what is not there: datasets.a/b: "),
        ("datasets: {a/b: }", "mirrors.yaml: datasets.a/b: give a folder, or of a data set a file a split: {test: file.jsonl}"),
        (
            "datasets: {a/b: {}}",
            "mirrors.yaml: datasets.a/b: give a folder, or of a data set a file a split: {test: file.jsonl}",
        ),
        ("models: {a/b: 5}", "mirrors.yaml: models.a/b: give a folder, or of a data set a file a split: {test: file.jsonl}"),
    ],
)
def test_places_that_can_be_no_path_are_named(content: str, says: str) -> None:
    Path("loop").symlink_to("loop")
    Path("mirrors.yaml").write_text(content)
    with pytest.raises(InputError) as error:
        mirrors.read(Path("mirrors.yaml"))
    assert str(error.value).startswith(says)


def test_a_mirrored_folder_that_was_edited_within_its_size_and_time_is_read_anew() -> None:
    path = jsonl(Path("copy/train.jsonl"), [{"body": "the cat sees it"}])
    write(datasets={"o/text": "copy"})
    task = Task("t", text=replace(TEXT, config=None))
    assert [document["text"] for document in text_documents(task)] == ["the cat sees it"]
    before = path.stat()
    jsonl(path, [{"body": "the dog sees it"}])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert [document["text"] for document in text_documents(task)] == ["the dog sees it"]


def test_the_files_of_a_task_folder_that_were_edited_within_their_size_and_time_are_read_anew(tmp_path: Path) -> None:
    path = jsonl(Path("tasks/rows.jsonl"), [{"q": f"{i} cat", "o": ["sat", "ran"], "a": 0} for i in range(3)])
    Path("tasks/mine.yaml").write_text(
        f"task: mine\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {tmp_path / path}}}}}\ntest_split: test\n"
        "output_type: multiple_choice\ndoc_to_text: q\ndoc_to_choice: o\ndoc_to_target: a\nmetric_list: [{metric: acc}]\n"
    )

    def asked() -> list[str]:
        (task,) = completed(folder_suite("./tasks")).tasks
        with quiet():
            return [document["q"] for document in build(task)["mine"].eval_docs]

    assert asked() == ["0 cat", "1 cat", "2 cat"]
    before = path.stat()
    path.write_text(path.read_text().replace("cat", "dog"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert asked() == ["0 dog", "1 dog", "2 dog"]


def test_the_code_of_a_task_folder_that_was_edited_within_its_size_and_time_is_run() -> None:
    import py_compile

    jsonl(Path("tasks/rows.jsonl"), [{"q": "cat", "o": ["sat", "ran"], "a": 0}])
    Path("tasks/mine.yaml").write_text(
        f"task: mine\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {Path('tasks/rows.jsonl').resolve()}}}}}\n"
        "test_split: test\noutput_type: multiple_choice\ndoc_to_text: !function utils.q\ndoc_to_choice: o\ndoc_to_target: a\n"
        "metric_list: [{metric: acc}]\n"
    )
    code = Path("tasks/utils.py")
    code.write_text("def q(d): return 'A ' + d['q']\n")
    py_compile.compile(str(code.resolve()))
    before = code.stat()
    code.write_text("def q(d): return 'B ' + d['q']\n")
    os.utime(code, ns=(before.st_atime_ns, before.st_mtime_ns))
    (task,) = completed(folder_suite("./tasks")).tasks
    with quiet():
        (leaf,) = build(task).values()
    assert leaf.doc_to_text(next(iter(leaf.eval_docs))) == "B cat"
