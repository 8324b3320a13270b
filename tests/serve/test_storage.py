"""What a storage has against a read is told as it is, and not mistaken for something else."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator

import pytest

from etl.errors import StorageError
from etl.load.bucket import Bucket
from etl.serve.objects import NotSatisfiable, Objects, Part
from etl.serve.ranges import Range
from tests.load.buckets import BUCKET, clean, faults, met, s3_server, variables

KEY = "europe/collection.json"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def objects(server: str, monkeypatch: pytest.MonkeyPatch) -> Objects:
    for name, value in variables(server).items():
        monkeypatch.setenv(name, value)
    clean(server)
    bucket = Bucket(f"s3://{BUCKET}/ndvi")
    bucket.put_all({KEY: b"0123456789", "empty": b""})
    return Objects(bucket)


async def taken(part: Part | None) -> bytes:
    assert part is not None
    return b"".join([piece async for piece in part.pieces])


@pytest.mark.parametrize(
    "read",
    [
        lambda objects: objects.head(KEY),
        lambda objects: objects.read(KEY),
        lambda objects: objects.read(KEY, Range(0, 3)),
        lambda objects: objects.read(KEY, Range(None, 3)),
    ],
)
def test_a_bucket_that_is_gone_is_no_missing_object(
    objects: Objects, server: str, read: Callable[[Objects], Coroutine[object, object, object]]
) -> None:
    assert asyncio.run(read(objects)) is not None

    faults(server, {"fault": "answer", "method": "GET|HEAD", "status": 404, "code": "NoSuchBucket"})

    with pytest.raises(
        StorageError, match=f"cannot read s3://{BUCKET}/ndvi/{KEY}: there is no such bucket; "
    ):
        asyncio.run(read(objects))


def test_an_object_that_is_missing_is_just_that(objects: Objects) -> None:
    for wanted in (None, Range(0, 3), Range(None, 3)):
        assert asyncio.run(objects.read("europe/other.json", wanted)) is None
    assert asyncio.run(objects.head("europe/other.json")) is None


def test_a_range_that_is_refused_for_other_reasons_is_not_asked_for_again(
    objects: Objects, server: str
) -> None:
    faults(
        server,
        {"fault": "none", "method": "GET|HEAD"},
        {"fault": "answer", "method": "GET", "status": 403, "code": "AccessDenied"},
    )

    with pytest.raises(StorageError, match="access is denied; check the permissions"):
        asyncio.run(objects.read(KEY, Range(0, 3)))

    assert met(server) == 1


@pytest.mark.parametrize(
    ("key", "wanted"), [(KEY, Range(10, None)), ("empty", Range(0, 3)), ("empty", Range(None, 3))]
)
def test_a_range_beyond_the_end_is_known_as_such(objects: Objects, key: str, wanted: Range) -> None:
    with pytest.raises(NotSatisfiable):
        asyncio.run(objects.read(key, wanted))


def test_a_range_is_read_by_itself(objects: Objects) -> None:
    async def read() -> list[bytes]:
        ranges = (Range(2, 4), Range(8, 99), Range(None, 3))
        return [await taken(await objects.read(KEY, wanted)) for wanted in ranges]

    assert asyncio.run(read()) == [b"234", b"89", b"789"]
