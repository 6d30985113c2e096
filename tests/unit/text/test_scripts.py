from gaudi_asr_cli.core.text.scripts import find_suspects, name_character


def test_a_cyrillic_letter_among_latin_ones_is_reported_twice():
    warnings = find_suspects({"a": 100, "b": 50, "\u0430": 2})

    assert "Mixed scripts: 2 letters are CYRILLIC" in warnings[0]
    assert "CYRILLIC SMALL LETTER A, 2 times" in warnings[1]


def test_two_apostrophes_are_look_alikes():
    (warning,) = find_suspects({"a": 9, "'": 3, "\u2019": 4})

    assert "RIGHT SINGLE QUOTATION MARK, 4 times" in warning


def test_one_apostrophe_alone_is_not_suspicious():
    assert find_suspects({"a": 9, "\u2019": 4}) == ()


def test_scripts_that_are_written_together_are_not_mixed():
    assert find_suspects({"\u65e5": 4, "\u306e": 9, "\u30ab": 2}) == ()


def test_accents_digits_and_signs_belong_to_every_script():
    assert find_suspects({"a": 9, "\u00e9": 2, "5": 1, "\u0301": 1, "%": 1, " ": 4}) == ()


def test_an_invisible_character_is_reported():
    (warning,) = find_suspects({"a": 9, "\u200b": 1})

    assert "ZERO WIDTH SPACE" in warning


def test_a_character_without_a_name_is_its_code_point():
    assert name_character("\x07") == "U+0007"
