import json
from pathlib import Path

import pytest

from gaudi_asr_cli.ui.json_lines import json_line
from gaudi_asr_cli.ui.numbers import clock, count, padding, percent, size, span, sparkline


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (percent(0.0423), "4.2 %"),
        (percent(-0.0001), "0.0 %"),
        (padding(1.016), "1.6 %"),
        (clock(75.2), "1:15"),
        (clock(3675), "1:01:15"),
        (span(12.34), "12.3 s"),
        (span(600), "10.0 min"),
        (span(3_456_000), "960.0 h"),
        (count(1, "utterance"), "1 utterance"),
        (count(2000, "utterance"), "2,000 utterances"),
        (size(1_500_000), "1.5 MB"),
        (size(3_200_000_000), "3.2 GB"),
        (sparkline([1, 2, 3], 8), "▁▅█"),
        (sparkline([2.0, 2.0], 8), "▁▁"),
        (sparkline([1, 1, 1, 3, 3, 3, 2, 2], 4), "▁▅█▅"),
        (sparkline([1, 2], 0), ""),
        (sparkline([float("nan"), float("inf")], 8), ""),
    ],
)
def test_numbers_are_formatted_for_people(shown, expected):
    assert shown == expected


def test_json_is_readable_and_strict():
    line = json_line({"text": "Straße", "loss": float("nan"), "path": Path("a/b"), "rows": (1, 2)})

    assert line == '{"text": "Straße", "loss": null, "path": "a/b", "rows": [1, 2]}'


def test_a_file_name_that_is_not_utf8_gives_valid_json():
    name = b"caf\xe9.wav".decode(errors="surrogateescape")

    line = json_line({"path": name})

    assert line.encode().isascii()
    assert json.loads(line)["path"] == name
