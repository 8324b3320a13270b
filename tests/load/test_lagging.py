"""The proxy whose listings lag, which other tests rely on."""

from collections.abc import Iterator

import obstore
import pytest

from etl.load.bucket import Bucket

from .buckets import BUCKET, clean, raw, read, s3_server, variables
from .lagging import lag, lagging, left_out

KEYS = ("a/1", "a/2", "b/c/1", "d")


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[str, str]]:
    """The server and the proxy before it."""
    with s3_server() as server, lagging(server) as proxy:
        yield server, proxy


@pytest.fixture
def bucket(servers: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> Bucket:
    server, proxy = servers
    clean(server)
    lag(proxy)
    for name, value in variables(proxy).items():
        monkeypatch.setenv(name, value)
    store = Bucket(f"s3://{BUCKET}")
    store.put_all({key: key.encode() for key in KEYS})
    return store


def test_nothing_is_left_out_unless_asked_for(bucket: Bucket, servers: tuple[str, str]) -> None:
    assert sorted(bucket.keys("")) == sorted(KEYS)
    assert bucket.folders() == ["a", "b"]
    assert left_out(servers[1]) == 0


def test_listings_lack_the_keys_meant_and_folders_of_nothing_else(
    bucket: Bucket, servers: tuple[str, str]
) -> None:
    server, proxy = servers
    lag(proxy, "^a/2$", "^b/")

    assert sorted(bucket.keys("")) == ["a/1", "d"]
    assert bucket.names("a") == ["1"]
    assert bucket.folders() == ["a"]
    assert [bucket.get(key) for key in KEYS] == [key.encode() for key in KEYS]
    assert read(server, "b/c/1") == b"b/c/1"
    assert left_out(proxy) == 2 + 1 + 1


def test_listings_lack_young_keys_until_so_many_requests_later(
    bucket: Bucket, servers: tuple[str, str]
) -> None:
    lag(servers[1], requests=4)
    obstore.delete(raw(servers[1]), "d")
    bucket.put("e", b"e")

    seen = [list(bucket.keys("")) for _ in range(6)]

    assert "e" not in seen[0]
    assert "e" in seen[-1]
    assert all("d" not in keys for keys in seen)
