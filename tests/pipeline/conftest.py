"""An archive's place."""

from pathlib import Path

import pytest

from etl.load.folder import LocalFolder


@pytest.fixture
def store(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "archive")
