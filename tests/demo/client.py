"""What a client of the stand-in asks."""

import requests

from etl.demo.service import StandIn, Stream


def ask_metadata(
    service: StandIn,
    token: str | None = None,
    *,
    continent: str = "Europe",
    start_date: str | None = None,
    end_date: str | None = None,
    timeout: float = 10,
) -> requests.Response:
    """Ask for metadata, with a new token unless one is given."""
    return requests.get(
        f"{service.api_url}/streaming/s3/data/metadata/{continent}",
        params={"start_date": start_date, "end_date": end_date},
        headers={"Authorization": f"Bearer {token or service.issue_token()}"},
        timeout=timeout,
    )


def get_stream(
    service: StandIn,
    byte_range: str | None = None,
    url: str | None = None,
    *,
    stream: bool = False,
    timeout: float = 10,
) -> requests.Response:
    """Ask for the video, or for bytes of it such as `0-99`."""
    headers = {"Range": f"bytes={byte_range}"} if byte_range else {}
    return requests.get(url or stream_url(service), headers=headers, stream=stream, timeout=timeout)


def stream_url(service: StandIn, continent: str = "Europe") -> str:
    """Ask the metadata where the video is."""
    url: str = ask_metadata(service, continent=continent).json()["stream_path"]
    return url


def content_of(stream: Stream) -> bytes:
    """Return what the whole video should be."""
    return stream.file.read_bytes()
