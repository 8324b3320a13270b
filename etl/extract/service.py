"""The service as the pipeline sees it: what there is, and the frames themselves.

Another dialect of the service's metadata is another class with these two methods: one that asks for tiles
lists the frames of their area and pastes the tiles' pictures into each frame's codes.
"""

from collections.abc import Callable, Generator, Sequence
from datetime import datetime

from etl.errors import ServiceError
from etl.extract.address import Address
from etl.extract.api import DEFAULT_MAX_PIXELS, Listing, MetadataApi
from etl.extract.auth import TokenSource
from etl.extract.frame import Frame, FrameEntry
from etl.extract.http import HttpClient
from etl.extract.video import Video


class ContinentService:
    """The Sentinel-3 NDVI of whole continents, one video each."""

    def __init__(
        self,
        api_url: str,
        tokens: TokenSource,
        threads: int = 0,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        client: HttpClient | None = None,
    ) -> None:
        """Describe the service; nothing is requested yet.

        Args:
            api_url: address of the API.
            tokens: where the access token comes from.
            threads: decoder threads; 0 is one a core, 16 at most.
            max_pixels: most pixels a frame may have; larger ones are refused before memory is taken.
            client: the session to use; None is a new one.

        Raises:
            UsageError: The address is not an http or https address.
        """
        self._client = client or HttpClient()
        self._api = MetadataApi(self._client, api_url, tokens, max_pixels)
        self._threads = threads

    @property
    def bytes_received(self) -> int:
        """Bytes of metadata and video downloaded so far."""
        return self._client.bytes_received

    @property
    def retries(self) -> int:
        """Requests, connections and addresses that were tried again so far."""
        return self._client.retries

    def close(self) -> None:
        """Drop all connections."""
        self._client.close()

    def listing(self, continent: str, start: datetime | None, end: datetime | None) -> Listing:
        """What there is of a continent; see `MetadataApi.listing`."""
        return self._api.listing(continent, start, end)

    def frames(self, listing: Listing, entries: Sequence[FrameEntry]) -> Generator[Frame, None, None]:
        """Exactly the given frames of a listing, in the given order.

        Where the stream's address expires on the way, the metadata is asked for another one.

        Raises:
            StreamError: A frame cannot be had; all before it were yielded.
            LoginError: The stream's address expired, and the service refuses the token or the login.
        """
        done = 0

        def ask_again() -> str:
            return self.stream_url(listing, entries[done:])

        for frame in stream_frames(self._client, listing, entries, ask_again, self._threads):
            yield frame
            done += 1

    def video(self, listing: Listing) -> Video:
        """The stream of a listing."""
        address = Address(self._client, listing.stream_url, lambda: self.stream_url(listing, listing.entries))
        return Video(self._client, address, (listing.columns, listing.rows), self._threads)

    def stream_url(self, listing: Listing, to_come: Sequence[FrameEntry]) -> str:
        """The address that the stream of a listing has now.

        Raises:
            ServiceError: The service fails, or lists another grid or the frames to come otherwise.
        """
        times = [entry.time for entry in to_come]
        again = self._api.listing(listing.continent, min(times), max(times))
        listed = {entry.number: entry for entry in again.entries}
        for known in to_come:
            entry = listed.get(known.number)
            if entry is None or str(entry) != str(known) or not entry.scale.is_same(known.scale):
                raise _changed(f"{known} is listed otherwise now")
        if (again.columns, again.rows, again.bbox) != (listing.columns, listing.rows, listing.bbox):
            raise _changed("its grid is another now")
        return again.stream_url


def stream_frames(
    client: HttpClient,
    listing: Listing,
    entries: Sequence[FrameEntry],
    ask_again: Callable[[], str] | None,
    threads: int = 0,
) -> Generator[Frame, None, None]:
    """Exactly the given frames of a listing, in the given order.

    Args:
        client: the session to use.
        listing: where the stream is, and how large its frames are.
        entries: the frames.
        ask_again: gives the stream's address once the one of the listing has expired; None where that
            is all there is.
        threads: decoder threads; 0 is one a core, 16 at most.

    Raises:
        StreamError: A frame cannot be had; all before it were yielded.
    """
    address = Address(client, listing.stream_url, ask_again)
    video = Video(client, address, (listing.columns, listing.rows), threads)
    pictures = video.pictures([entry.number for entry in entries])
    for entry, picture in zip(entries, pictures, strict=True):
        yield Frame(entry, picture.codes, picture.bits)


def _changed(how: str) -> ServiceError:
    return ServiceError(f"the stream changed while it was read: {how}", "run the command again")
