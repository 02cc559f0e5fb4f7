import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def small(tmp_path):
    """A corpus of one guideline with its cases, to be broken or changed."""
    for relative in ("guidelines/strategies.yaml", "guidelines/B/B11.yaml", "cases/B/B11.yaml"):
        target = tmp_path / "corpus" / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / relative, target)
    return tmp_path / "corpus"
