"""An archive that a web server publishes, as `ndvi-archive serve` does: there to be read."""

from datetime import timedelta

from etl.load.bucket import Bucket


class Served(Bucket):
    """The objects below an http address; they cannot be listed, and the server refuses writes."""

    _retried = timedelta(seconds=3)
    """Less than for a bucket: who mistyped the address, or forgot to start the server, should soon know."""

    def exists(self, key: str) -> bool:
        """Whether the server answers with something at that name."""
        return self._head(key) is not None
