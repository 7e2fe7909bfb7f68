"""`--match`: the settings at which arms learn the same share of what the control learns, searched for in rounds.

Each round trains what every search asks for next, under the first seed, and reads from the rows of validation items what was
learned. Nothing else is remembered: a search that was stopped anywhere asks the same again, finds what is finished, and goes on
with the same outcome. The settings found are then trained under the other seeds too. Trials are listed in search.jsonl.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import choosing, plugins
from harness.arms import CONTROL, parent_arm
from harness.claims import learned
from harness.errors import HarnessError
from harness.files import write_text
from harness.forgetting import OLD_TEXT, Study
from harness.grids import searches, trying
from harness.matching import TRAININGS, Search
from harness.record import read
from harness.resolve import Ready, resolve
from harness.run import Watch, run
from harness.settings import Settings
from harness.typed import parse_arms

TRIALS = "search.jsonl"


def search(asked: Settings, ready: Ready, command: str, watch: Watch) -> list[str]:
    """Search from a plan that holds the first settings; the names of trials that failed."""
    extra = plugins.from_files(asked.plugin, asked.strategies)
    found, failed = searches(asked, extra), dict.fromkeys(run(ready, command, watch))
    while gains := _gains(ready):
        _tell(found, gains, watch)
        _list(ready.folder, found, gains)
        if not any(each.next for each in found.values()):
            break
        ready = resolve(asked, grid=trying(asked, found))
        failed |= dict.fromkeys(run(ready, command, watch))
    else:  # without the control there is nothing to be a share of
        return list(failed)
    ready = resolve(asked, grid=trying(asked, found, _kept(ready, found)))
    return list(failed | dict.fromkeys(run(ready, command, watch)))


def _gains(ready: Ready) -> dict[str, float]:
    """Arm -> what it learned, on validation items under the first seed, of all that is finished; empty without the control."""
    study = Study(read(ready.folder), "validation")
    if learned(study) is None:
        raise HarnessError("no suite has validation items that measure learning; add suites, as in --suites text")
    gains = choosing.gains(study, [arm.name for arm in ready.plan.arms], ready.plan.seeds[0])
    if gains.get(CONTROL.name, 1.0) <= 0:
        raise HarnessError("the control learned nothing on validation items, so that no share of it can be searched for")
    return gains if CONTROL.name in gains else {}


def _tell(found: Mapping[str, Search], gains: Mapping[str, float], watch: Watch) -> None:
    """Tell every search what came of its last setting."""
    for arm, each in found.items():
        if each.next is None:
            continue
        setting = each.name(each.next)
        share = gains[setting] / gains[CONTROL.name] if setting in gains else None
        each.tell(share)
        told = "failed" if share is None else f"learns {share:.1%} of what the control learns"
        then = f"next {each.name(each.next)}" if each.next else each.verdict
        watch.note(f"search {arm}, training {len(each.shares)} of at most {TRAININGS}: {setting} {told}; {then}")


def _list(folder: Path, found: Mapping[str, Search], gains: Mapping[str, float]) -> None:
    """search.jsonl: a line a training of the search, in the order of each arm's; written anew as it goes on."""
    lines: list[dict[str, Any]] = []
    for arm, each in found.items():
        for number, (setting, share) in enumerate(each.shares.items(), 1):
            about = {"arm": arm, "training": number, "setting": setting, "gain": gains.get(setting)}
            about |= {"control": gains[CONTROL.name], "share": share, "target": each.target}
            over = setting == each.nearest and each.next is None
            lines.append(about | {"decision": each.verdict if over else each.side(share)})
    write_text(folder / TRIALS, "".join(json.dumps(line) + "\n" for line in lines))


def _kept(ready: Ready, found: Mapping[str, Search]) -> tuple[str, ...]:
    """What is trained under every seed: the controls, the settings found, and what these are made from."""
    nearest = [each.nearest for each in found.values() if each.nearest]
    parents = [parent_arm(parse_arms(name)[0], ready.strategies[name]) for name in nearest]
    return (CONTROL.name, OLD_TEXT, *nearest, *(parent.name for parent in parents if parent))
