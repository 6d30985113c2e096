import numpy as np
import pytest

from gaudi_asr_cli.core.data.augment import Augmentation, change_speed

SOUND = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000).astype(np.float32)


def loudest_hz(sound):
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return np.argmax(spectrum) * 16_000 / len(sound)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_faster_audio_is_shorter_and_higher(factor):
    changed = change_speed(SOUND, factor)

    assert len(changed) == pytest.approx(len(SOUND) / factor, abs=2)
    assert loudest_hz(changed) == pytest.approx(440 * factor, abs=2)


def test_augmentation_depends_on_seed_epoch_and_index_alone():
    augmentation = Augmentation(speed=0.1)

    def change(seed, epoch, index):
        return augmentation.apply(SOUND, seed=seed, epoch=epoch, index=index, min_samples=1)

    np.testing.assert_array_equal(change(1, 2, 3), change(1, 2, 3))
    lengths = {len(change(*place)) for place in [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4)]}
    assert len(lengths) == 4


def test_lengths_stay_between_the_bounds():
    augmentation = Augmentation(speed=0.2)

    lengths = [
        len(augmentation.apply(SOUND, seed=0, epoch=0, index=i, min_samples=1)) for i in range(50)
    ]

    assert min(lengths) >= len(SOUND) / 1.2 - 1
    assert max(lengths) <= len(SOUND) * augmentation.max_length_factor + 1


def test_a_clip_that_would_be_too_short_for_its_text_is_unchanged():
    kept = Augmentation(speed=0.4).apply(SOUND, seed=0, epoch=0, index=0, min_samples=10**6)

    assert kept is SOUND


def test_no_augmentation_changes_nothing():
    assert Augmentation().apply(SOUND, seed=0, epoch=0, index=0, min_samples=1) is SOUND
