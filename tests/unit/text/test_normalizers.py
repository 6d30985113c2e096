import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.text.normalizers import (
    NORMALIZERS,
    label_normalizer,
    normalize_basic,
    open_normalizer,
)

BRACKETED = st.lists(
    st.sampled_from(["<", ">", "[", "]", "(", ")", "a", "B", " ", "\u0130", "\u00df", "'", "5"])
).map("".join)


@pytest.fixture(scope="module")
def whisper_basic():
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer

    return BasicTextNormalizer()


@settings(deadline=None)
@given(st.text() | BRACKETED)
def test_basic_gives_what_transformers_gives(whisper_basic, text):
    assert normalize_basic(text) == whisper_basic(text)


def test_basic_gives_what_transformers_gives_for_every_character(whisper_basic):
    text = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x20000)]))

    assert normalize_basic(text) == whisper_basic(text)


def test_basic_folds_case_and_drops_remarks_and_punctuation():
    text = normalize_basic("Hello, WORLD! [noise] (laughs) Don't")

    assert text.split() == ["hello", "world", "don", "t"]


def test_none_changes_nothing():
    assert NORMALIZERS["none"](" A,\u00a0b ") == " A,\u00a0b "


def test_whisper_english_unifies_numbers_and_regional_variants():
    normalize = NORMALIZERS["whisper-english"]

    assert normalize("Mr. Grey's colour, twenty-one") == "mister gray is color 21"


def test_whisper_english_gives_what_transformers_gives():
    import json
    from importlib.resources import files

    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    table = json.loads((files("whisper_normalizer") / "normalizers" / "english.json").read_text())
    theirs = EnglishTextNormalizer(table)
    texts = ["It's a quarter past twenty-two o'clock", "$20 million, won't they?", "he's 3rd [x]"]

    ours = [NORMALIZERS["whisper-english"](text) for text in texts]

    assert ours == [theirs(text) for text in texts]


def test_a_label_has_name_and_version():
    assert label_normalizer("basic") == "basic/2"
    assert label_normalizer("whisper-english").startswith("whisper-english/0.")


def test_an_unknown_normaliser_is_rejected_with_the_nearest_name():
    with pytest.raises(UsageError) as caught:
        open_normalizer("whisper-englsh")

    assert "whisper-english" in caught.value.remedy


def test_normalising_imports_no_network_library():
    script = (
        "import sys\n"
        "from gaudi_asr_cli.core.text import normalizers, rules, vocabulary\n"
        "from gaudi_asr_cli.core.evaluation import confusions, metric, score, utterances\n"
        "normalizers.NORMALIZERS['whisper-english']('a')\n"
        "print(*{'torch', 'transformers', 'datasets', 'evaluate'} & set(sys.modules))\n"
    )

    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert (printed.stdout.strip(), printed.returncode) == ("", 0), printed.stderr
