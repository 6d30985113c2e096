"""Generated text and decoder shapes on one device, in a process of its own.

python drive_seq2seq.py OUT DEVICE MODE [trains]     writes OUT/found.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from drive import events, open_named, reset_events


def record_shapes(network: Any) -> list[tuple[list[int], ...]]:
    """Return a list of the shapes of ids and encoder states, extended by each decoder call."""
    shapes: list[tuple[list[int], ...]] = []

    def record(_: Any, args: Any, kwargs: Any) -> None:
        ids = kwargs["input_ids"] if kwargs.get("input_ids") is not None else args[0]
        shapes.append((list(ids.shape), list(kwargs["encoder_hidden_states"].shape)))

    network.get_decoder().register_forward_pre_hook(record, with_kwargs=True)
    return shapes


def main(out: Path, name: str, mode: str, trains: str = "") -> None:
    device = open_named(name, mode)
    if trains:
        # As in training: optimum-habana replaces models and `generate`.
        device.prepare_training()
    from helpers.tiny_corpus import write_corpus
    from helpers.tiny_seq2seq import save_tiny_whisper

    from gaudi_asr_cli.core.inference.options import InferenceOptions
    from gaudi_asr_cli.core.inference.recognizer import open_recognizer
    from gaudi_asr_cli.core.inference.transcribe import transcribe
    from gaudi_asr_cli.core.records import AudioSpan, Utterance

    corpus = write_corpus(out / "corpus", utterances=11)
    clips = [Utterance(one.stem, AudioSpan(one)) for one in sorted(corpus.parent.glob("*.wav"))]
    folder = save_tiny_whisper(out / "whisper")
    options = InferenceOptions(
        dtype="fp32", language="hi", max_tokens=12, batch_size=4, timestamps="none"
    )
    recognizer: Any = open_recognizer(str(folder), device, options)
    model: Any = recognizer.model
    seen = record_shapes(model.network) if hasattr(model, "network") else []
    reset_events()
    results = list(transcribe(recognizer, clips))
    found = {
        "kind": type(model).__name__,
        "network": type(model.network).__module__ if seen else "",
        "texts": [None if one.transcript is None else one.transcript.text for one in results],
        "errors": [one.error for one in results],
        "shapes": sorted({json.dumps(one) for one in seen}),
        "calls": len(seen),
        "events": events(),
    }
    (out / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
