import pytest
from helpers.tiny_corpus import write_corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """The manifest of twelve made utterances; u00.wav and so on lie beside it."""
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A random wav2vec 2.0 with a head, as a folder."""
    from helpers.tiny_models import save_tiny_model

    letters = "efhnorstuw"
    return save_tiny_model(tmp_path_factory.mktemp("model") / "tiny", letters=letters)
