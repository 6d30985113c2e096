"""Run in a process of its own: what a decoder writes on one device, and the shapes that it sees.

python drive_seq2seq.py OUT DEVICE MODE [trains]     writes OUT/found.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from drive import events, forget_events, open_named


def watch(network: Any) -> list[tuple[list[int], ...]]:
    """A list that gets the shapes of ids and of what was heard, at each call of the decoder."""
    seen: list[tuple[list[int], ...]] = []

    def note(_: Any, args: Any, kwargs: Any) -> None:
        ids = kwargs["input_ids"] if kwargs.get("input_ids") is not None else args[0]
        seen.append((list(ids.shape), list(kwargs["encoder_hidden_states"].shape)))

    network.get_decoder().register_forward_pre_hook(note, with_kwargs=True)
    return seen


def main(out: Path, name: str, mode: str, trains: str = "") -> None:
    device = open_named(name, mode)
    if trains:
        # As while training: optimum-habana has put its own models and `generate` in place.
        device.prepare_training()
    from helpers.tiny_corpus import write_corpus
    from helpers.tiny_seq2seq import save_tiny_whisper

    from gaudi_asr_cli.core.decoding.hypotheses import HypothesisDecoder
    from gaudi_asr_cli.core.inference.seq2seq import open_seq2seq_recognizer
    from gaudi_asr_cli.core.inference.transcribe import transcribe
    from gaudi_asr_cli.core.models.seq2seq.generation import Generation
    from gaudi_asr_cli.core.records import AudioSpan, Utterance

    corpus = write_corpus(out / "corpus", utterances=11)
    clips = [Utterance(one.stem, AudioSpan(one)) for one in sorted(corpus.parent.glob("*.wav"))]
    folder = save_tiny_whisper(out / "whisper")
    how = Generation(language="hi", max_tokens=12)
    recognizer = open_seq2seq_recognizer(
        str(folder), device=device, dtype="fp32", generation_config=how, batch_size=4
    )
    model: Any = recognizer.model
    seen = watch(model.network) if hasattr(model, "network") else []
    forget_events()
    heard = list(transcribe(recognizer, clips, HypothesisDecoder()))
    found = {
        "kind": type(model).__name__,
        "network": type(model.network).__module__ if seen else "",
        "texts": [None if one.transcript is None else one.transcript.text for one in heard],
        "errors": [one.error for one in heard],
        "shapes": sorted({json.dumps(one) for one in seen}),
        "calls": len(seen),
        "events": events(),
    }
    (out / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
