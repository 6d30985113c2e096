"""Feature extraction: normalisation, mel features, attention masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.json_files import read_json_object
from gaudi_asr_cli.core.models.contents import COPY_AGAIN
from gaudi_asr_cli.core.models.families import ModelFamily, family_of, raw_settings
from gaudi_asr_cli.core.models.frames import resampled_length
from gaudi_asr_cli.core.models.own_code import ASKS_FOR_CODE
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioBatch, AudioSpan, Utterance

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

VARIANCE_FLOOR = 1e-7
"""Added to the variance by `Wav2Vec2FeatureExtractor`, so that silence stays silence."""

LOWEST_HZ, HIGHEST_RATE_HZ = 4_000, 48_000
"""Sample rates that a model of speech may expect."""

SETTINGS_FILES = {"preprocessor_config.json": None, "processor_config.json": "feature_extractor"}
"""Files with the settings of a feature extractor, in order of preference, and the key in them."""


@dataclass(frozen=True, slots=True)
class Frontend:
    """Computes the network's inputs from samples.

    `extractor` is transformers' own for mel features, None for raw samples;
    clips shorter than `minimum_samples`, the receptive field, are padded with zeros to it.
    Samples come at `SAMPLE_RATE_HZ`; the network receives them at `rate_hz`. `mel_frames` holds
    the numbers of mel frames of samples that were counted.
    """

    normalizes: bool = True
    masks: bool = False
    minimum_samples: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    extractor: Any = None
    rate_hz: int = SAMPLE_RATE_HZ
    mel_frames: dict[int, int] = field(default_factory=dict, compare=False, repr=False)

    def prepare(self, batch: AudioBatch) -> dict[str, torch.Tensor]:
        """Return keyword arguments of the network for a batch of samples (B, T).

        Every utterance is normalised on its own, before padding: the same utterance gives the
        same values in any batch. Raw: `input_values` float32 (B, T), and `attention_mask` int64
        (B, T) iff the model was trained with one. Mel: `input_features` (B, F, C) with its mask.
        """
        resampled = batch if self.rate_hz == SAMPLE_RATE_HZ else resample(batch, self.rate_hz)
        minimum = resampled_length(self.minimum_samples, self.rate_hz)
        if self.extractor is not None:
            return self._extract_features(resampled, minimum)
        return self._normalize(resampled, minimum)

    def _normalize(self, batch: AudioBatch, minimum: int) -> dict[str, torch.Tensor]:
        import torch

        width = max(batch.samples.shape[1], minimum)
        values = np.zeros((len(batch.lengths), width), dtype=np.float32)
        mask = np.zeros(values.shape, dtype=np.int64)
        for row, length in enumerate(batch.lengths):
            samples = batch.samples[row, :length]
            values[row, :length] = standardize(samples) if self.normalizes else samples
            mask[row, : max(int(length), minimum)] = 1
        inputs = {"input_values": torch.from_numpy(values)}
        if self.masks:
            inputs["attention_mask"] = torch.from_numpy(mask)
        return inputs

    def _extract_features(self, batch: AudioBatch, minimum: int) -> dict[str, torch.Tensor]:
        import torch

        clips = [
            pad_to(batch.samples[row, :length], minimum) for row, length in enumerate(batch.lengths)
        ]
        features = self._extract(clips)
        mask = np.asarray(features["attention_mask"], dtype=np.int64)
        # An odd mel frame at the end is masked and has no effect, so it is cut off.
        frames = int(mask.sum(axis=1).max())
        values = np.asarray(features["input_features"], dtype=np.float32)[:, :frames]
        width = max(batch.samples.shape[1], minimum)
        longest = max(len(clip) for clip in clips)
        # As wide as the batch: a bucket whose longest clip is shorter keeps its shape.
        missing = 0 if longest == width else self._count_mel_frames(width) - frames
        return {
            "input_features": torch.from_numpy(np.pad(values, ((0, 0), (0, missing), (0, 0)))),
            "attention_mask": torch.from_numpy(np.pad(mask[:, :frames], ((0, 0), (0, missing)))),
        }

    def _extract(self, clips: list[NDArray[np.float32]]) -> Mapping[str, Any]:
        features: Mapping[str, Any] = self.extractor(
            clips,
            sampling_rate=self.rate_hz,
            padding=True,
            return_attention_mask=True,
            return_tensors="np",
        )
        return features

    def _count_mel_frames(self, samples: int) -> int:
        """Return the number of mel frames that are not masked, of so many samples."""
        if samples not in self.mel_frames:
            features = self._extract([np.zeros(samples, np.float32)])
            self.mel_frames[samples] = int(np.asarray(features["attention_mask"]).sum())
        return self.mel_frames[samples]


def resample(batch: AudioBatch, rate_hz: int) -> AudioBatch:
    """Return the batch at another rate; padding stays padding."""
    import soxr

    lengths = np.array([resampled_length(int(one), rate_hz) for one in batch.lengths], np.int64)
    width = max(resampled_length(batch.samples.shape[1], rate_hz), int(lengths.max()))
    samples = np.zeros((len(lengths), width), dtype=np.float32)
    for row, (before, after) in enumerate(zip(batch.lengths, lengths, strict=True)):
        # Very high quality: a file at this very rate was upsampled when it was read.
        clip = soxr.resample(batch.samples[row, :before], SAMPLE_RATE_HZ, rate_hz, quality="VHQ")
        samples[row, : min(len(clip), after)] = clip[:after]
    return replace(batch, samples=samples, lengths=lengths)


def standardize(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale samples (T,) to zero mean and unit variance, as `Wav2Vec2FeatureExtractor` does."""
    if samples.size == 0:
        return samples
    deviation = np.sqrt(samples.var() + VARIANCE_FLOOR)
    scaled: NDArray[np.float32] = (samples - samples.mean()) / deviation
    return scaled


def pad_to(samples: NDArray[np.float32], minimum_samples: int) -> NDArray[np.float32]:
    """Pad samples (T,) with zeros to at least `minimum_samples`."""
    missing = minimum_samples - len(samples)
    return np.pad(samples, (0, missing)) if missing > 0 else samples


def read_settings(directory: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Read the feature extractor's settings from a model folder, or use the family's defaults.

    transformers 5 saves them inside `processor_config.json`, earlier versions on their own.

    Raises:
        DataError: The file is not a JSON object.
    """
    for name, part in SETTINGS_FILES.items():
        if (path := directory / name).exists():
            content = read_json_object(path, remedy=COPY_AGAIN)
            settings = content if part is None else content.get(part)
            if isinstance(settings, dict):
                return {key: one for key, one in settings.items() if key not in ASKS_FOR_CODE}
    return default_settings(config)


def read_rate(settings: Mapping[str, Any]) -> int:
    """Return the sample rate that a feature extractor expects, in Hz.

    Raises:
        DataError: It is no rate of speech.
    """
    rate_hz = settings.get("sampling_rate")
    if rate_hz is None:
        return SAMPLE_RATE_HZ
    whole = isinstance(rate_hz, int) and not isinstance(rate_hz, bool)
    if not whole or not LOWEST_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise DataError(
            f"preprocessor_config.json: sampling_rate is {str(rate_hz)[:40]}, not a sample rate of "
            f"speech ({LOWEST_HZ} to {HIGHEST_RATE_HZ} Hz).",
            remedy="Set the rate of the audio that the model was trained on, such as 16000.",
        )
    return int(rate_hz)


def default_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the feature extractor's settings for a model of this family that has none."""
    family = family_of(config)
    return raw_settings(config) if family is None else family.settings(config)


_NOISE = AudioBatch(
    (Utterance("noise", AudioSpan(Path("noise"))),),
    np.random.default_rng(0).uniform(-0.1, 0.1, (1, SAMPLE_RATE_HZ // 4)).astype(np.float32),
    np.array([SAMPLE_RATE_HZ // 4], np.int64),
)
MAX_SETTING = 100_000
"""No size of a feature extractor, in samples, bins or frames, is larger."""


def _check_settings(settings: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        if isinstance(value, int | float) and abs(value) > MAX_SETTING:
            raise DataError(
                f"preprocessor_config.json: {name} is {str(value)[:40]}.", remedy=COPY_AGAIN
            )


def _open_extractor(family: ModelFamily, settings: Mapping[str, Any]) -> Any:
    """Build what computes the family's mel features: transformers' class, or ours."""
    if family.open_features is not None:
        return family.open_features(settings)
    import transformers

    return getattr(transformers, str(family.extractor)).from_dict(dict(settings))


def open_frontend(
    settings: Mapping[str, Any], config: Mapping[str, Any], minimum_samples: int
) -> Frontend:
    """Build the frontend for the settings of a feature extractor."""
    family = family_of(config)
    if family is not None and family.extractor is not None:
        _check_settings(settings)
        try:
            frontend = Frontend(
                masks=True,
                minimum_samples=minimum_samples,
                settings=settings,
                extractor=_open_extractor(family, settings),
                rate_hz=read_rate(settings),
            )
            # Values that do not fit each other are found by their first use only.
            features = frontend.prepare(_NOISE)["input_features"]  # (1, F, C)
        except DataError:
            raise
        except Exception as error:
            raise DataError(
                f"preprocessor_config.json: {family.extractor} cannot compute features with these "
                f"settings ({type(error).__name__}: {str(error).partition(chr(10))[0][:120]}).",
                remedy=COPY_AGAIN,
            ) from error
        expected = config.get("feature_projection_input_dim", features.shape[-1])
        if features.shape[-1] != expected:
            raise DataError(
                f"preprocessor_config.json gives {features.shape[-1]} features a frame, and the "
                f"network of config.json receives {expected}.",
                remedy=COPY_AGAIN,
            )
        return frontend
    return Frontend(
        normalizes=bool(settings.get("do_normalize", True)),
        masks=bool(settings.get("return_attention_mask", False)),
        minimum_samples=minimum_samples,
        settings=settings,
        rate_hz=read_rate(settings),
    )
