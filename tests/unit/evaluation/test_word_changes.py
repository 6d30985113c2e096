from gaudi_asr_cli.core.evaluation.word_changes import TextTriple, align_words, find_word_changes


def test_words_that_only_b_or_only_a_recognises_are_fixed_or_broken():
    triples = [
        TextTriple("u1", "one two three", "one too three", "one two tree"),
        TextTriple("u2", "two three", "too three", "two"),
        TextTriple("u3", "four", "for", "fore"),  # wrong on both sides
    ]

    changes = find_word_changes(triples)

    assert (changes.fixed, changes.broken) == (2, 2)
    (fixed,) = changes.most_fixed
    assert (fixed.word, fixed.instead, fixed.count, fixed.example.id) == ("two", "too", 2, "u1")
    assert {(one.word, one.instead) for one in changes.most_broken} == {
        ("three", "tree"),
        ("three", None),
    }


def test_insertions_of_both_sides_are_counted():
    changes = find_word_changes([TextTriple("u", "one two", "one oh two", "one two two oh")])

    assert (changes.insertions_a, changes.insertions_b) == (1, 2)
    assert (changes.fixed, changes.broken) == (0, 0)


def test_each_reference_word_has_its_hypothesis_word():
    placed, inserted = align_words(["a", "b", "c"], ["x", "a", "d", "c"])

    assert (placed, inserted) == (["a", "d", "c"], 1)
    assert align_words(["a", "b"], []) == ([None, None], 0)
    assert align_words([], ["a"]) == ([], 1)
