import json

from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.formats import FORMATS
from gaudi_asr_cli.core.records import Transcript, WordTiming

HEARD = UtteranceDone(
    "a", "a.wav", 1.5, Transcript("a", "h\u00e9 you", (WordTiming("h\u00e9", 0.1, 1 / 3, 0.98765),))
)
FAILED = UtteranceDone("b", "b.wav", 0.0, None, error="b.wav is not audio.")


def test_plain_text_has_a_line_for_what_was_heard():
    assert list(FORMATS["txt"].write([HEARD, FAILED, HEARD])) == ["h\u00e9 you\n"] * 2


def test_json_lines_hold_the_words_and_the_failures():
    heard, failed = map(json.loads, FORMATS["jsonl"].write([HEARD, FAILED]))

    assert heard == {
        "schema": "infer/1",
        "path": "a.wav",
        "duration_s": 1.5,
        "text": "h\u00e9 you",
        "words": [{"word": "h\u00e9", "start_s": 0.1, "end_s": 0.333, "confidence": 0.9877}],
        "language": None,
        "error": None,
    }
    assert (failed["text"], failed["words"]) == (None, [])
    assert failed["error"] == "b.wav is not audio."


def test_lines_come_as_soon_as_their_utterance_does():
    def utterances():
        yield HEARD
        raise AssertionError("asked for more than was needed")

    for name, one in FORMATS.items():
        assert next(one.write(utterances())), name
