import io

import pytest
from rich.console import Console

from gaudi_asr_cli.ui import messages


@pytest.mark.parametrize(("terminal", "shown"), [(True, "Loading demo ..."), (False, "")])
def test_only_a_terminal_is_informed_that_a_model_is_loaded(monkeypatch, terminal, shown):
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, no_color=True)
    monkeypatch.setattr(messages, "CONSOLE", console)

    messages.show_loading("demo")

    assert shown in output.getvalue()
    assert bool(output.getvalue()) == terminal
