"""Archives to analyse; to be read only."""

import pytest

from tests.load.archives import frames
from tests.load.series import WIDE, optimize

from .archives import Archived, archived


@pytest.fixture(scope="session")
def by_frames(tmp_path_factory: pytest.TempPathFactory) -> Archived:
    """Ten frames of 35 × 520 pixels, two of them without data, in pairs of S3A and S3B."""
    return archived(tmp_path_factory.mktemp("by_frames"), WIDE, frames(range(1, 11), WIDE))


@pytest.fixture(scope="session")
def with_series(tmp_path_factory: pytest.TempPathFactory) -> Archived:
    """The same frames, of which the first eight are in a series as well."""
    same = archived(tmp_path_factory.mktemp("with_series"), WIDE, frames(range(1, 11), WIDE))
    optimize(same.store)
    return same
