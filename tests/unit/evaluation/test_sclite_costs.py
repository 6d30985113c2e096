import random
import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_asr_cli.core.evaluation.counts import count_errors
from gaudi_asr_cli.core.evaluation.sclite_costs import count_sclite_errors
from gaudi_asr_cli.core.records import ErrorCounts

texts = st.lists(st.sampled_from("abc"), max_size=5)


def every_alignment(reference, hypothesis):
    """Yield the counts of every alignment of two sequences."""
    if not reference and not hypothesis:
        yield ErrorCounts()
    if reference and hypothesis:
        is_hit = reference[-1] == hypothesis[-1]
        for one in every_alignment(reference[:-1], hypothesis[:-1]):
            yield one + (ErrorCounts(1) if is_hit else ErrorCounts(0, 1))
    if hypothesis:
        for one in every_alignment(reference, hypothesis[:-1]):
            yield one + ErrorCounts(0, 0, 0, 1)
    if reference:
        for one in every_alignment(reference[:-1], hypothesis):
            yield one + ErrorCounts(0, 0, 1)


def cost(counts):
    return 4 * counts.substitutions + 3 * (counts.deletions + counts.insertions)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=6))
def test_the_counts_are_those_of_an_alignment_of_lowest_cost(pairs):
    for counts, pair in zip(count_sclite_errors(pairs), pairs, strict=True):
        possible = list(every_alignment(*pair))
        assert counts in possible
        assert cost(counts) == min(map(cost, possible))


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("", "", (0, 0, 0, 0)),
        ("the", "", (0, 0, 1, 0)),
        ("", "in", (0, 0, 0, 1)),
        # Three substitutions cost 12, as much as two deletions, a hit and two insertions.
        ("a b c", "c x y", (0, 3, 0, 0)),
        # Four cost 16, the two hits 4 x 3.
        ("a b c d", "c d x y", (2, 0, 2, 2)),
        # Costs 27, as (4, 3, 5, 0) with an error less would.
        ("c b a c a a b b c c c b", "a a c c b a c", (5, 0, 7, 2)),
    ],
)
def test_cases_as_sclite_scores_them(reference, hypothesis, expected):
    (counts,) = count_sclite_errors([(reference.split(), hypothesis.split())])

    assert counts == ErrorCounts(*expected)


def test_sclite_can_have_more_errors_than_the_minimum_and_never_fewer():
    generator = random.Random(1)
    pairs = [
        tuple([generator.choice("abcd") for _ in range(generator.randint(0, 12))] for _ in "rh")
        for _ in range(2000)
    ]

    extra = [
        counts.errors - count_errors(*pair).errors
        for counts, pair in zip(count_sclite_errors(pairs), pairs, strict=True)
    ]

    assert min(extra) == 0
    assert sum(extra) > 0


@pytest.mark.skipif(shutil.which("sctk") is None, reason="needs sclite (apt install sctk)")
def test_the_counts_are_those_of_sclite_itself(tmp_path):
    generator = random.Random(2)
    pairs = []
    for number in range(500):
        words = [f"w{word}" for word in range(2 + number % 5)]
        pairs.append(
            tuple([generator.choice(words) for _ in range(generator.randint(0, 14))] for _ in "rh")
        )
    for side, name in enumerate(("ref", "hyp")):
        lines = [f"{' '.join(pair[side])} (s_{row})\n" for row, pair in enumerate(pairs)]
        (tmp_path / name).write_text("".join(lines))

    words = [
        "sctk",
        "sclite",
        "-r",
        "ref",
        "trn",
        "-h",
        "hyp",
        "trn",
        "-i",
        "rm",
        "-o",
        "pralign",
        "stdout",
    ]
    shown = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"id: \(s_(\d+)\)\nScores: \(#C #S #D #I\) (\d+) (\d+) (\d+) (\d+)", shown)

    theirs = {int(row): ErrorCounts(*map(int, counts)) for row, *counts in found}
    assert theirs == dict(enumerate(count_sclite_errors(pairs)))
