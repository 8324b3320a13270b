"""An archive that a web server publishes, as `ndvi-archive serve` does: there to be read."""

from etl.load.bucket import Bucket


class Served(Bucket):
    """The objects below an http address; they cannot be listed, and the server refuses writes."""

    def exists(self, key: str) -> bool:
        """Whether the server answers with something at that name."""
        return self._head(key) is not None
