import os
from pathlib import Path

import pytest

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.json_files import read_json_object


def test_a_pipe_or_a_device_in_place_of_a_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "config.json")

    for path in (tmp_path / "config.json", Path("/dev/zero")):
        with pytest.raises(DataError, match="is a pipe or a device"):
            read_json_object(path, remedy="Copy it again.")
