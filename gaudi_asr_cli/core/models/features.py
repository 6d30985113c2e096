"""Feature extraction: normalisation, mel features, attention masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gaudi_asr_cli.core.json_files import read_json_object
from gaudi_asr_cli.core.models.contents import COPY_AGAIN
from gaudi_asr_cli.core.models.families import family_of, raw_settings
from gaudi_asr_cli.core.models.own_code import ASKS_FOR_CODE
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioBatch

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

VARIANCE_FLOOR = 1e-7
"""Added to the variance by `Wav2Vec2FeatureExtractor`, so that silence stays silence."""

SETTINGS_FILES = {"preprocessor_config.json": None, "processor_config.json": "feature_extractor"}
"""Files with the settings of a feature extractor, in order of preference, and the key in them."""


@dataclass(frozen=True, slots=True)
class Frontend:
    """Computes the network's inputs from samples.

    `extractor` is transformers' own for mel features, None for raw samples;
    clips shorter than `minimum_samples`, the receptive field, are padded with zeros to it.
    """

    normalizes: bool = True
    masks: bool = False
    minimum_samples: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    extractor: Any = None

    def prepare(self, batch: AudioBatch) -> dict[str, torch.Tensor]:
        """Return keyword arguments of the network for a batch of samples (B, T).

        Every utterance is normalised on its own, before padding: the same utterance gives the
        same values in any batch. Raw: `input_values` float32 (B, T), and `attention_mask` int64
        (B, T) iff the model was trained with one. Mel: `input_features` (B, F, C) with its mask.
        """
        if self.extractor is not None:
            return self._extract_features(batch)
        return self._normalize(batch)

    def _normalize(self, batch: AudioBatch) -> dict[str, torch.Tensor]:
        import torch

        width = max(batch.samples.shape[1], self.minimum_samples)
        values = np.zeros((len(batch.lengths), width), dtype=np.float32)
        mask = np.zeros(values.shape, dtype=np.int64)
        for row, length in enumerate(batch.lengths):
            samples = batch.samples[row, :length]
            values[row, :length] = standardize(samples) if self.normalizes else samples
            mask[row, : max(int(length), self.minimum_samples)] = 1
        inputs = {"input_values": torch.from_numpy(values)}
        if self.masks:
            inputs["attention_mask"] = torch.from_numpy(mask)
        return inputs

    def _extract_features(self, batch: AudioBatch) -> dict[str, torch.Tensor]:
        import torch

        clips = [
            pad_to(batch.samples[row, :length], self.minimum_samples)
            for row, length in enumerate(batch.lengths)
        ]
        features = self.extractor(
            clips,
            sampling_rate=SAMPLE_RATE_HZ,
            padding=True,
            return_attention_mask=True,
            return_tensors="np",
        )
        mask = np.asarray(features["attention_mask"], dtype=np.int64)
        # An odd mel frame at the end is masked and has no effect, so it is cut off.
        frames = int(mask.sum(axis=1).max())
        values = np.asarray(features["input_features"], dtype=np.float32)[:, :frames]
        return {
            "input_features": torch.from_numpy(values),
            "attention_mask": torch.from_numpy(mask[:, :frames]),
        }


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


def default_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the feature extractor's settings for a model of this family that has none."""
    family = family_of(config)
    return raw_settings(config) if family is None else family.settings(config)


def open_frontend(
    settings: Mapping[str, Any], config: Mapping[str, Any], minimum_samples: int
) -> Frontend:
    """Build the frontend for the settings of a feature extractor."""
    family = family_of(config)
    if family is not None and family.extractor is not None:
        import transformers

        kind = getattr(transformers, family.extractor)
        return Frontend(
            masks=True,
            minimum_samples=minimum_samples,
            settings=settings,
            extractor=kind.from_dict(dict(settings)),
        )
    return Frontend(
        normalizes=bool(settings.get("do_normalize", True)),
        masks=bool(settings.get("return_attention_mask", False)),
        minimum_samples=minimum_samples,
        settings=settings,
    )
