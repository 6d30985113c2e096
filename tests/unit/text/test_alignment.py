from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaudi_asr_cli.core.text.alignment import alignment_shortfall, minimum_frames


@pytest.mark.parametrize(
    ("labels", "needed"),
    [((), 0), ((1,), 1), ((1, 2, 3), 3), ((1, 1), 3), ((1, 2, 2, 2, 1), 7), ((1, 2, 1), 3)],
)
def test_every_label_needs_a_frame_and_a_repeated_label_one_more(labels, needed):
    assert minimum_frames(labels) == needed


@settings(deadline=None)  # the first example imports torch
@given(st.lists(st.integers(1, 3), min_size=1, max_size=6), st.integers(1, 9))
def test_labels_align_exactly_where_the_ctc_loss_of_torch_is_finite(labels, frames):
    torch = pytest.importorskip("torch")
    loss = torch.nn.functional.ctc_loss(
        torch.zeros(frames, 1, 4).log_softmax(-1),
        torch.tensor([labels]),
        torch.tensor([frames]),
        torch.tensor([len(labels)]),
    )

    assert bool(torch.isfinite(loss)) == (alignment_shortfall(labels, frames) is None)


@pytest.mark.parametrize(
    ("labels", "frames", "expected"),
    [
        ((1, 2), 2, None),
        ((1, 1), 2, "2 frames, 3 needed"),
        ((), 1, None),
        ((3,), 0, "0 frames, 1 needed"),
    ],
)
def test_a_shortfall_gives_the_frames_and_how_many_are_needed(labels, frames, expected):
    shortfall = alignment_shortfall(labels, frames)

    assert (None if shortfall is None else str(shortfall)) == expected


def test_no_frame_at_all_is_a_shortfall_even_without_labels():
    assert alignment_shortfall((), 0) is not None
