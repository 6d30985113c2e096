import pytest

from gaudi_asr_cli.core.text.english_numbers import find_odd_numbers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It was four o'clock.", '"four o clock" becomes "40 clock"'),
        ("oh my, two dogs", '"oh my" becomes "0 my"'),
        ("one oh one", '"one oh one" becomes "101"'),
        ("two and a half hours", '"two and a half hours" becomes "2.5 hours"'),
        ("double two five", '"double two five" becomes "225"'),
        ("one second please", '"one second please" becomes "12nd please"'),
        ("at this point two came", '"point two came" becomes ".2 came"'),
        ("seven eleven", '"seven eleven" becomes "711"'),
        ("room 5 six", '"5 six" becomes "56"'),
    ],
)
def test_changed_words_and_merged_numbers_are_found(text, found):
    assert [str(one) for one in find_odd_numbers(text)] == [found]


@pytest.mark.parametrize(
    "text",
    [
        "", "no numbers here", "twenty one", "two hundred and five", "three point five", "no one",
        "the first one", "nineteen eighty four", "twenty twenty", "$20 million", "may first two",
        "a mile and a half", "minus one", "twenty second of may", "1 2 3", "fifty percent",
    ],
)  # fmt: skip
def test_numbers_written_as_usual_are_not_found(text):
    assert find_odd_numbers(text) == ()
