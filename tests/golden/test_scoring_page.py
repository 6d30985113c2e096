"""The examples in docs/scoring.md agree with the normalisers."""

import re
from pathlib import Path

import pytest

from gaudi_asr_cli.core.text.normalizers import open_normalizer

PAGE = Path(__file__).parents[2] / "docs" / "scoring.md"
ROW = re.compile(r"^\| `([^`]+)` \| `([^`]+)` \| `([^`]+)` \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE.read_text("utf-8"))


def test_the_page_has_examples():
    assert len(ROWS) > 10


@pytest.mark.parametrize(("text", "first", "second"), ROWS, ids=[row[0] for row in ROWS])
def test_examples_on_the_page_are_what_the_rules_give(text, first, second):
    given = [" ".join(open_normalizer(rule)(text).split()) for rule in ("basic/1", "basic/2")]

    assert given == [first, second]
