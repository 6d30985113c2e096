"""Audio of utterances, compressed into the page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioSpan

MAX_AUDIO_S = 60.0
"""Longer audio is not embedded: an hour would be 15 MB."""
_FORMATS = (("MP3", "audio/mpeg"), ("FLAC", "audio/flac"))


def embed_audio(path: str | None, start_s: float, duration_s: float | None) -> str | None:
    """Return the audio as a `data:` URL; None where it is gone, too long, or cannot be read."""
    if path is None or duration_s is None or duration_s > MAX_AUDIO_S:
        return None
    file = Path(path)
    try:
        if not file.is_file():
            return None
    except (OSError, ValueError):
        return None
    from gaudi_asr_cli.core.data.audio import load_audio

    span = AudioSpan(file, start_s, duration_s if duration_s > 0 else None)
    try:
        samples = load_audio(span).samples
    except AsrError:
        return None
    import soundfile

    for name, kind in _FORMATS:
        if name not in soundfile.available_formats():
            continue
        packed = io.BytesIO()
        soundfile.write(packed, samples, SAMPLE_RATE_HZ, format=name)
        return f"data:{kind};base64,{base64.b64encode(packed.getvalue()).decode('ascii')}"
    return None
