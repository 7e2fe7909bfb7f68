"""Recipes by which text of a domain is prepared: the YAML files beside this one, read like a user's own."""

from pathlib import Path

FOLDER = Path(__file__).parent


def medical() -> Path:
    """For clinical and biomedical text; what it prepares is sensitive."""
    return FOLDER / "medical.yaml"


def code() -> Path:
    """For source code."""
    return FOLDER / "code.yaml"
