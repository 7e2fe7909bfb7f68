"""Stock suites name tasks that lm-eval has, with the metrics and options it has."""

from typing import Any

import pytest

from harness.suite import Suite
from suites.code import code
from suites.general import general
from suites.medical import medical

SUITES = [general(), medical(), code()]


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
        assert task.unsafe == (suite.name == "code")


def definition(name: str) -> dict[str, Any]:
    from lm_eval.tasks._yaml_loader import load_yaml

    from harness.score_stock import find

    return dict(load_yaml(find(name), resolve_func=False))


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_lm_eval_has_them(suite: Suite) -> None:
    for task in suite.tasks:
        config = definition(task.name)
        config = definition(config["task"][0]) if "group" in config else config
        assert config.get("unsafe_code", False) == task.unsafe
        if not task.unsafe:
            assert task.metric in [entry["metric"] for entry in config["metric_list"]]
        options = config.get("doc_to_choice")
        if isinstance(options, list):
            assert task.chance == pytest.approx(1 / len(options))
