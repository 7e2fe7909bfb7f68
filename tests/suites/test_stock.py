"""Stock suites name tasks that lm-eval has, with metrics, filters, examples and options that its definitions have."""

import pytest

from harness.score_stock import Leaf, leaves
from harness.suite import MEMBER, Suite, Task
from suites import code, general, instruct, languages, medical, reasoning

SUITES = [
    general.general(),
    reasoning.general_reasoning(),
    instruct.general_instruct(),
    languages.general_languages(),
    medical.medical(),
    code.code(),
]
STOCK = [task for suite in SUITES for task in suite.tasks if task.text is None]


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_suites_are_complete(suite: Suite) -> None:
    names = [task.name for task in suite.tasks]
    assert len(set(names)) == len(names)
    assert suite.about
    assert suite.prompts
    for task in suite.tasks:
        assert task.about
        assert (task.chance is None) == (task.metric == "bits_per_byte")
        assert (task.source == "other") == (task.measures == "keep")
        assert task.measures == ("gain" if suite.name in ("medical", "code") else "keep")
        assert task.unsafe == (task.name in ("humaneval", "mbpp"))
        assert task.sensitive == (task.name == "notes_text")


def test_what_the_suites_hold() -> None:
    """Of a suite what it was made for; text is in bits per byte, and of general text there are three sources."""
    held = {suite.name: {task.name for task in suite.tasks} for suite in SUITES}
    assert held["general"] >= {"hellaswag", "arc_easy", "arc_challenge", "piqa", "winogrande", "lambada_openai", "sciq"}
    assert held["general"] >= {"boolq", "openbookqa", "blimp", "mmlu_continuation", "wikitext"}
    assert held["general_reasoning"] == {"gsm8k", "bbh", "mmlu"}
    assert held["general_instruct"] == {"ifeval", "truthfulqa_mc1"}
    assert held["general_languages"] >= {"belebele_kor_Hang", "xnli_de", "kobest_copa", "kmmlu", "korean_text"}
    assert held["medical"] >= {"pubmedqa", "medmcqa", "medqa_4options", "pubmed_text", "notes_text", "textbook_text"}
    assert held["code"] == {"python_text", "humaneval", "mbpp"}
    assert sum(task.metric == "bits_per_byte" for task in SUITES[0].tasks) == 3
    shots = {task.name: task.fewshot for task in SUITES[1].tasks}
    assert shots == {"gsm8k": 5, "bbh": 3, "mmlu": 5}


def members(task: Task) -> list[Leaf]:
    return leaves(task)[1]


@pytest.mark.parametrize(
    ("name", "count"), [("blimp", 67), ("mmlu", 57), ("mmlu_continuation", 57), ("bbh", 27), ("kmmlu", 45)]
)
def test_groups_have_the_members_that_were_published(name: str, count: int) -> None:
    found = members(Task(name))
    assert len({leaf.name for leaf in found}) == len(found) == count
    assert len({leaf.configuration for leaf in found}) == count


@pytest.mark.parametrize("task", STOCK, ids=lambda task: task.name)
def test_lm_eval_has_them(task: Task) -> None:
    assert (task.cluster == MEMBER) == (len(members(task)) > 1)
    for leaf in members(task):
        config = leaf.config
        assert config.get("unsafe_code", False) == task.unsafe
        if not task.unsafe:
            assert leaf.means()[task.metric] == task.higher_is_better
        options = config.get("doc_to_choice")
        if isinstance(options, list):
            assert task.chance == pytest.approx(1 / len(options))
        kind = {"bits_per_byte": ("loglikelihood_rolling",), "acc_norm": ("multiple_choice",)}.get(task.metric)
        assert config["output_type"] in (kind or ("multiple_choice", "loglikelihood", "generate_until"))
        filters = [entry["name"] for entry in config.get("filter_list") or ()]
        assert task.filter in (filters or [None]) or (task.unsafe and task.filter is None)
        assert "/" in leaf.dataset, "a data set of the hub, which a mirror may stand for"
        assert not (config.get("dataset_kwargs") or {}).get("trust_remote_code")
        if task.fewshot:
            examples = config.get("fewshot_config") or {}
            assert config.get("num_fewshot") in (None, task.fewshot)
            assert examples.get("samples") or config.get("fewshot_split")


@pytest.mark.parametrize("task", [task for task in STOCK if task.cluster not in (None, MEMBER)], ids=lambda task: task.name)
def test_clusters_are_fields_that_prompts_are_made_of(task: Task) -> None:
    """A cluster is named by a field that the definition reads; those that only code reads, or none, stand here."""
    unread = {"hellaswag", "medmcqa", "kobest_wic", *(name for name in (t.name for t in STOCK) if "belebele" in name)}
    config = str(dict(members(task)[0].config))
    assert (task.name in unread) or str(task.cluster) in config
