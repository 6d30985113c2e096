import numpy as np
import pytest

from gaudi_asr_cli.core.data.augment import Augmentation, change_speed

WAVEFORM = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000).astype(np.float32)


def loudest_hz(waveform):
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return np.argmax(spectrum) * 16_000 / len(waveform)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_faster_audio_is_shorter_and_higher(factor):
    changed = change_speed(WAVEFORM, factor)

    assert len(changed) == pytest.approx(len(WAVEFORM) / factor, abs=2)
    assert loudest_hz(changed) == pytest.approx(440 * factor, abs=2)


def test_augmentation_depends_on_seed_epoch_and_index_alone():
    augmentation = Augmentation(speed=0.1)

    def change(seed, epoch, index):
        return augmentation.apply(WAVEFORM, seed=seed, epoch=epoch, index=index, min_samples=1)

    np.testing.assert_array_equal(change(1, 2, 3), change(1, 2, 3))
    lengths = {len(change(*place)) for place in [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4)]}
    assert len(lengths) == 4


def test_lengths_stay_between_the_bounds():
    augmentation = Augmentation(speed=0.2)

    lengths = [
        len(augmentation.apply(WAVEFORM, seed=0, epoch=0, index=i, min_samples=1))
        for i in range(50)
    ]

    assert min(lengths) >= len(WAVEFORM) / 1.2 - 1
    assert max(lengths) <= len(WAVEFORM) * augmentation.max_length_factor + 1


def test_a_clip_that_would_be_too_short_for_its_text_is_unchanged():
    kept = Augmentation(speed=0.4).apply(WAVEFORM, seed=0, epoch=0, index=0, min_samples=10**6)

    assert kept is WAVEFORM


def test_no_augmentation_changes_nothing():
    assert Augmentation().apply(WAVEFORM, seed=0, epoch=0, index=0, min_samples=1) is WAVEFORM
