"""Every task of the stock suites is built from a mirror with the fields that its data set publishes, and scored.

The items are ours, a line a data set: fields are those that lm-eval's definitions read, and that clusters are named by.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import mirrors
from harness.score import prepare, refuse_missing, score
from harness.score_stock import leaves
from harness.score_tasks import build
from harness.suite import MEMBER, Suite, Task
from suites import code, general, instruct, languages, medical, reasoning

LETTERS = {"text": ["the sun", "a stone", "the sea", "a cow"], "label": ["A", "B", "C", "D"]}
OPTIONS = ["the sun", "a stone", "the sea", "a cow"]
PASSAGE = "The river is wide. The tower is old."
ITEMS: dict[str, dict[str, Any]] = {
    "Rowan/hellaswag": {"ctx_a": "A man sits.", "ctx_b": "he", "endings": OPTIONS, "label": "0", "activity_label": "Sitting"},
    "allenai/ai2_arc": {"question": "What gives light?", "choices": LETTERS, "answerKey": "A"},
    "baber/piqa": {"goal": "Open a door.", "sol1": "Push it.", "sol2": "Eat it.", "label": 0},
    "allenai/winogrande": {"sentence": "The cat saw the dog and _ ran.", "option1": "cat", "option2": "dog", "answer": "1"},
    "EleutherAI/lambada_openai": {"text": "The river is old and the tower is old"},
    "allenai/sciq": {"support": PASSAGE, "question": "What is wide?", "correct_answer": "the river"}
    | {f"distractor{i}": option for i, option in enumerate(OPTIONS[:3], 1)},
    "aps/super_glue": {"passage": PASSAGE, "question": "is the river wide", "label": 1},
    "allenai/openbookqa": {"question_stem": "Light comes from", "choices": LETTERS, "answerKey": "A"},
    "nyu-mll/blimp": {"sentence_good": "The cat sees it.", "sentence_bad": "The cat see it."},
    "cais/mmlu": {"question": "What gives light?", "choices": OPTIONS, "answer": 0, "subject": "astronomy"},
    "EleutherAI/wikitext_document_level": {"page": " = River = \n The river is wide . \n"},
    "Jellyfish042/UncheatableEval-2026-07": {"content": PASSAGE, "category": "bbc_news"},
    "allenai/c4": {"text": PASSAGE, "url": "", "timestamp": ""},
    "openai/gsm8k": {"question": "What is 1 + 1?", "answer": "1 + 1 = 2\n#### 2"},
    "SaylorTwift/bbh": {"input": "not True is", "target": "False"},
    "google/IFEval": {
        "key": 1,
        "prompt": "Write without commas.",
        "instruction_id_list": ["punctuation:no_comma"],
        "kwargs": [{"num_words": None}],
    },
    "truthfulqa/truthful_qa": {
        "question": "Is the earth flat?",
        "mc1_targets": {"choices": ["No.", "Yes."], "labels": [1, 0]},
        "mc2_targets": {"choices": ["No.", "Yes."], "labels": [1, 0]},
    },
    "facebook/belebele": {
        "flores_passage": PASSAGE,
        "question": "What is wide?",
        "correct_answer_num": "1",
        "link": "https://a",
        **{f"mc_answer{i}": option for i, option in enumerate(OPTIONS, 1)},
    },
    "facebook/xnli": {"premise": "The river is wide.", "hypothesis": "It is small.", "label": 2},
    "skt/kobest_v1/boolq": {"paragraph": "강은 넓다.", "question": "강은 넓은가?", "label": 1},
    "skt/kobest_v1/copa": {
        "premise": "비가 왔다.",
        "question": "결과",
        "alternative_1": "젖었다.",
        "alternative_2": "탔다.",
        "label": 0,
    },
    "skt/kobest_v1/hellaswag": {"context": "그는 앉았다.", "label": 0, **{f"ending_{i}": f"끝 {i}" for i in range(1, 5)}},
    "skt/kobest_v1/sentineg": {"sentence": "좋다.", "label": 1},
    "skt/kobest_v1/wic": {"word": "배", "context_1": "배를 먹다.", "context_2": "배를 타다.", "label": 0},
    "HAERAE-HUB/KMMLU": {"question": "무엇이 빛나는가?", "answer": 1, "A": "해", "B": "돌", "C": "물", "D": "소"},
    "wikimedia/wikipedia": {"id": "1", "url": "", "title": "강", "text": "강은 넓다."},
    "qiaojin/PubMedQA": {"question": "Is it?", "context": {"contexts": ["It is."]}, "final_decision": "yes"},
    "openlifescienceai/medmcqa": {"question": "What?", "cop": 0, "subject_name": "Anatomy"}
    | {f"op{letter}": option for letter, option in zip("abcd", OPTIONS, strict=True)},
    "GBaker/MedQA-USMLE-4-options-hf": {"sent1": "What?", "label": 0} | {f"ending{i}": o for i, o in enumerate(OPTIONS)},
    "MedRAG/pubmed": {"id": "1", "title": "A", "content": PASSAGE, "contents": PASSAGE},
    "MedRAG/textbooks": {"id": "1", "title": "A", "content": PASSAGE, "contents": PASSAGE},
    "AGBonnet/augmented-clinical-notes": {"note": PASSAGE, "conversation": "", "idx": "1", "summary": "", "full_note": PASSAGE},
    "codeparrot/codeparrot-clean-valid": {"content": "def one():\n    return 1\n", "path": "a.py"},
}
SUITES = [
    general.general(),
    reasoning.general_reasoning(),
    instruct.general_instruct(),
    languages.general_languages(),
    medical.medical(),
    code.code(),
]


@pytest.fixture(autouse=True)
def _mirrored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every data set under all the splits that the definitions name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(mirrors.VARIABLE, raising=False)
    datasets = {}
    for number, (name, item) in enumerate(ITEMS.items()):
        path = tmp_path / f"{number}.jsonl"
        path.write_text("".join(json.dumps({**item, "number": i}) + "\n" for i in range(6)))
        datasets[name] = dict.fromkeys(("train", "validation", "test", "dev"), str(path))
    Path("mirrors.yaml").write_text(json.dumps({"datasets": datasets}))


SLOW = ("general_languages", "general_reasoning")
EACH = [pytest.param(s, id=s.name, marks=[pytest.mark.slow] if s.name in SLOW else []) for s in SUITES]


@pytest.mark.parametrize("suite", EACH)
def test_every_task_is_built_and_scored(suite: Suite, model_folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    suite = replace(suite, tasks=tuple(replace(task) for task in suite.tasks if not task.unsafe))
    refuse_missing([suite])
    prepare(suite)
    tasks = [task for task in suite.tasks if next(iter(build(task).values())).OUTPUT_TYPE != "generate_until"]
    if not tasks:
        return
    model, tokenizer = AutoModelForCausalLM.from_pretrained(model_folder).eval(), AutoTokenizer.from_pretrained(model_folder)
    table = score(model, tokenizer, replace(suite, tasks=tuple(tasks)), length=2048, limit=4)
    assert table.task.value_counts().to_dict() == {task.name: 4 for task in tasks}
    for task in tasks:
        rows = table[table.task == task.name]
        assert rows.item.is_unique
        assert rows.value.between(0, 1 if task.chance is not None else 100).all()
        clusters = set(rows.cluster)
        if task.cluster == MEMBER:
            assert clusters <= {leaf.name for leaf in leaves(task)[1]}
        elif task.cluster:
            assert len(clusters) == 1, "six items of one passage are one cluster"
        else:
            assert len(clusters) == 4


@pytest.mark.parametrize(("name", "shots"), [pytest.param("mmlu", 5, marks=pytest.mark.slow), ("gsm8k", 5), ("bbh", 3)])
def test_examples_stand_before_the_question(name: str, shots: int) -> None:
    (task,) = (task for task in reasoning.TASKS if task.name == name)
    (leaf, *_) = build(replace(task)).values()
    leaf.set_fewshot_seed(1234)
    leaf.build_all_requests(limit=1)
    prompt = leaf.instances[0].args[0]
    mark = {"mmlu": "Answer:", "gsm8k": "Question:", "bbh": "Q:"}[name]
    assert prompt.count(mark) == shots + 1


def test_what_is_generated_has_the_metric_that_counts() -> None:
    """One right and one wrong answer through lm-eval's filters and metrics."""
    for module, name, answers in (
        (reasoning, "gsm8k", ("1 + 1 = 2\n#### 2", "The answer is 2.")),
        (reasoning, "bbh", ("So the answer is False.", "False")),
        (instruct, "ifeval", ("No comma here.", "One, two.")),
    ):
        (task,) = (task for task in module.TASKS if task.name == name)
        (leaf, *_) = build(replace(task)).values()
        found = [_judged(task, leaf, answer) for answer in answers]
        assert found == [1.0, 0.0], name


def _judged(task: Task, leaf: Any, answer: str) -> float:
    leaf.set_fewshot_seed(1234)
    leaf.build_all_requests(limit=1)
    for instance in leaf.instances:
        instance.resps = [answer]
    leaf.apply_filters()
    (instance, *_) = leaf.instances
    name = task.filter or next(iter(instance.filtered_resps))
    return float(leaf.process_results(instance.doc, [instance.filtered_resps[name]])[task.metric])
