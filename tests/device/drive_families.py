"""Texts of the CTC families of transformers 5 on one device, in a process of its own.

python drive_families.py OUT DEVICE MODE     writes OUT/found.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from drive import open_named


def main(out: Path, name: str, mode: str) -> None:
    device = open_named(name, mode)
    from helpers.subword_models import save_subword_model
    from helpers.tiny_models import FAMILIES, NEW_FAMILIES

    from gaudi_asr_cli.core.inference.options import InferenceOptions
    from gaudi_asr_cli.core.inference.recognizer import open_recognizer
    from gaudi_asr_cli.core.inference.transcribe import transcribe
    from gaudi_asr_cli.core.records import AudioSpan, Utterance

    clips = [Utterance(one.stem, AudioSpan(one)) for one in write_noise(out)]
    found = {}
    for family in NEW_FAMILIES:
        if family in FAMILIES:
            folder = save_subword_model(out / family, family)
            recognizer = open_recognizer(str(folder), device, InferenceOptions(dtype="fp32"))
            results = transcribe(recognizer, clips)
            found[family] = [one.transcript and one.transcript.text for one in results]
    (out / "found.json").write_text(json.dumps(found))


def write_noise(folder: Path) -> list[Path]:
    """Write noise of changing loudness and colour, and return the files."""
    import numpy as np
    import soundfile

    random = np.random.default_rng(4)
    paths = []
    for number in range(7):
        noise = random.standard_normal(16_000 + 2_700 * number)
        smooth = np.convolve(noise, np.ones(1 + 2 * number), mode="same")
        loudness = np.abs(np.sin(np.arange(len(noise)) / (700 + 500 * number)))
        paths.append(folder / f"{number}.wav")
        soundfile.write(paths[-1], 0.1 * smooth * loudness / (1 + number), 16_000)
    return paths


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
