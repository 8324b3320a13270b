"""The service as the pipeline sees it: what there is, and the frames themselves.

Another dialect of the service's metadata is another class with these two methods: one that asks for tiles
lists the frames of their area and pastes the tiles' pictures into each frame's codes.
"""

from collections.abc import Generator, Sequence
from datetime import datetime

from etl.extract.api import Listing, MetadataApi
from etl.extract.auth import TokenSource
from etl.extract.frame import Frame, FrameEntry
from etl.extract.http import HttpClient
from etl.extract.video import Video


class ContinentService:
    """The Sentinel-3 NDVI of whole continents, one video each."""

    def __init__(self, api_url: str, tokens: TokenSource, threads: int = 0) -> None:
        """Describe the service; nothing is requested yet.

        Args:
            api_url: address of the API.
            tokens: where the access token comes from.
            threads: decoder threads; 0 is one a core.

        Raises:
            UsageError: The address is not an http or https address.
        """
        self._client = HttpClient()
        self._api = MetadataApi(self._client, api_url, tokens)
        self._threads = threads

    @property
    def bytes_received(self) -> int:
        """Bytes of metadata and video downloaded so far."""
        return self._client.bytes_received

    def close(self) -> None:
        """Drop all connections."""
        self._client.close()

    def listing(self, continent: str, start: datetime | None, end: datetime | None) -> Listing:
        """What there is of a continent; see `MetadataApi.listing`."""
        return self._api.listing(continent, start, end)

    def frames(self, listing: Listing, entries: Sequence[FrameEntry]) -> Generator[Frame, None, None]:
        """Exactly the given frames of a listing, in the given order.

        Raises:
            StreamError: A frame cannot be had; all before it were yielded.
        """
        video = Video(self._client, listing.stream_url, (listing.columns, listing.rows), self._threads)
        pictures = video.pictures([entry.number for entry in entries])
        for entry, picture in zip(entries, pictures, strict=True):
            yield Frame(entry, picture.codes, picture.bits)
