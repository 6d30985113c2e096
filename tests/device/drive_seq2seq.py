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

    from gaudi_asr_cli.core.decoding.written import WrittenDecoder
    from gaudi_asr_cli.core.engine.engine import transcribe
    from gaudi_asr_cli.core.engine.scribe import open_scribe
    from gaudi_asr_cli.core.models.prompts import Generation
    from gaudi_asr_cli.core.records import AudioSpan, Utterance

    corpus = write_corpus(out / "corpus", utterances=11)
    clips = [Utterance(one.stem, AudioSpan(one)) for one in sorted(corpus.parent.glob("*.wav"))]
    folder = save_tiny_whisper(out / "whisper")
    how = Generation(language="hi", max_tokens=12)
    scribe = open_scribe(str(folder), device=device, dtype="fp32", how=how, rows=4)
    model: Any = scribe.model
    seen = watch(model.network) if hasattr(model, "network") else []
    forget_events()
    heard = list(transcribe(scribe, clips, WrittenDecoder()))
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
