"""What is known of how common open bases were pre-trained; the figures and their sources stand in `bases.yaml`."""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

FIGURES = ("peak", "floor", "betas", "weight_decay", "bos", "eos", "length", "corpus", "text")


class Figures(BaseModel):
    """Published figures; None where nothing was found.

    peak, floor    learning rate at its highest, and at the end of the main stage
    betas          of Adam
    weight_decay   decoupled
    bos            whether documents began with BOS in pre-training
    eos            whether they ended with EOS as well, before the BOS of the next
    length         tokens of a pre-training row
    corpus         what was read
    text           the hub's name of it, or of the largest part of it that is public and needs no code: old text by default
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    peak: float | None = Field(default=None, gt=0, lt=0.1)
    floor: float | None = Field(default=None, ge=0, lt=0.1)
    betas: tuple[float, float] | None = None
    weight_decay: float | None = Field(default=None, ge=0, lt=1)
    bos: bool | None = None
    eos: bool | None = None
    length: int | None = Field(default=None, gt=0)
    corpus: str | None = None
    text: str | None = Field(default=None, pattern=r"^hub:[\w.-]+/[\w.-]+(/[\w.-]+)?(#\w+)?$")

    @model_validator(mode="after")
    def _floor_below_peak(self) -> "Figures":
        if self.floor is not None and self.peak is not None and self.floor >= self.peak:
            raise ValueError("the floor of a learning rate lies below its peak")
        return self


class BaseFacts(Figures):
    """Figures of one base, with the source of each by the figure's name."""

    name: str
    family: str
    sources: dict[str, str]

    @model_validator(mode="after")
    def _all_sourced(self) -> "BaseFacts":
        bare = [figure for figure in FIGURES if getattr(self, figure) is not None and figure not in self.sources]
        if bare:
            raise ValueError(f"{self.name}: no source for {', '.join(bare)}")
        return self


class Family(Figures):
    """Figures that hold for all models of a family, and each model's own."""

    sources: dict[str, str] = {}
    models: dict[str, Figures] = Field(min_length=1)

    def facts(self, family: str) -> list[BaseFacts]:
        """Facts of every model; its own figures first, then the family's."""
        shared = {figure: getattr(self, figure) for figure in FIGURES}
        found = []
        for name, own in self.models.items():
            figures = shared | {figure: getattr(own, figure) for figure in own.model_fields_set}
            known = {key: text for key, text in self.sources.items() if figures[key] is not None}
            found.append(BaseFacts(name=name, family=family, sources=known, **figures))
        return found


@lru_cache(maxsize=1)
def bases() -> dict[str, BaseFacts]:
    """Every base of bases.yaml by its name on the hub."""
    content = yaml.safe_load(Path(__file__).with_name("bases.yaml").read_text(encoding="utf-8"))
    families = {name: Family.model_validate(family) for name, family in content.items()}
    return {facts.name: facts for name, family in families.items() for facts in family.facts(name)}


def lookup(name_or_config: str | Path | Mapping[str, Any]) -> BaseFacts | None:
    """Facts of a base by hub name, by a model folder, or by a configuration that tells its name; None if unknown."""
    name = _name(name_or_config)
    known = {key.lower(): facts for key, facts in bases().items()}
    if "/" in name:
        return known.get(name)
    short = {key.split("/")[1]: facts for key, facts in known.items()}
    return short.get(name)


def _name(given: str | Path | Mapping[str, Any]) -> str:
    """The hub name that is meant, in lower case."""
    if isinstance(given, Mapping):
        return _plain(str(given.get("_name_or_path") or ""))
    config = Path(given) / "config.json"
    if config.is_file():
        content = json.loads(config.read_text(encoding="utf-8"))
        return _plain(str(content.get("_name_or_path") or "")) or _plain(str(Path(given).resolve()))
    return _plain(str(given))


def _plain(name: str) -> str:
    """`org/name` without a revision; out of a path, only where it is a folder of the hub's cache."""
    cached = re.search(r"models--([\w.-]+?)--([\w.-]+)", name)
    if cached:
        return f"{cached[1]}/{cached[2]}".lower()
    plain = name.partition("@")[0].strip("/").lower()
    return plain if not name.startswith(("/", ".", "~")) and plain.count("/") <= 1 else ""
