from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaudi_asr_cli.core.text.alignment import alignment_needs, refuse_unalignable


@pytest.mark.parametrize(
    ("labels", "needed"),
    [((), 0), ((1,), 1), ((1, 2, 3), 3), ((1, 1), 3), ((1, 2, 2, 2, 1), 7), ((1, 2, 1), 3)],
)
def test_every_label_needs_a_frame_and_a_repeat_one_more(labels, needed):
    assert alignment_needs(labels) == needed


@settings(deadline=None)  # the first example imports torch
@given(st.lists(st.integers(1, 3), min_size=1, max_size=6), st.integers(1, 9))
def test_the_need_is_where_the_loss_of_torch_becomes_finite(labels, frames):
    torch = pytest.importorskip("torch")
    loss = torch.nn.functional.ctc_loss(
        torch.zeros(frames, 1, 4).log_softmax(-1),
        torch.tensor([labels]),
        torch.tensor([frames]),
        torch.tensor([len(labels)]),
    )

    assert bool(torch.isfinite(loss)) == (alignment_needs(labels) <= frames)


def test_what_does_not_fit_is_listed_with_its_frames_and_its_need():
    result = refuse_unalignable([(1, 2), (1, 1), (), (3,)], [2, 2, 1, 0])

    assert result.kept == (0, 2)
    assert [(one.index, one.frames, one.needs) for one in result.refused] == [(1, 2, 3), (3, 0, 1)]


def test_no_frame_at_all_is_refused_even_without_labels():
    assert refuse_unalignable([()], [0]).kept == ()


@given(st.lists(st.tuples(st.lists(st.integers(1, 3)), st.integers(0, 9))))
def test_every_utterance_is_kept_or_refused_once(data):
    result = refuse_unalignable([labels for labels, _ in data], [frames for _, frames in data])

    indices = [*result.kept, *(one.index for one in result.refused)]
    assert sorted(indices) == list(range(len(data)))


def test_lists_of_unequal_length_are_a_bug():
    with pytest.raises(ValueError, match="zip"):
        refuse_unalignable([(1,)], [])
