"""What is served as what: the objects that not every archive has."""

import pytest

from etl.serve.keys import FOR_AN_HOUR, IMMUTABLE, REVALIDATED, cache_control, is_served, media_type

ITEM = "south-america/items/2021/2021-03/south-america-20210301t100000-s3a"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (f"{ITEM}.json", "application/geo+json"),
        (f"{ITEM}.png", "image/png"),
        ("south-america/items/2021/catalog.json", "application/json"),
        ("south-america/items.parquet", "application/vnd.apache.parquet"),
    ],
)
def test_items_are_served_and_asked_about_every_time(key: str, expected: str) -> None:
    assert is_served(key)
    assert media_type(key) == expected
    assert cache_control(key) == REVALIDATED


@pytest.mark.parametrize(
    "key",
    [
        "europe/ndvi.zarr/ndvi/c/7/0/0",
        "europe/ndvi.zarr/ndvi/7/2/1",
        "europe/ndvi.zarr/overviews/4/ndvi/c/7/0/0",
        "europe/ndvi.zarr/overviews/16/ndvi/7/2/1",
        "europe/ndvi.zarr/series/ndvi/c/0/1/2",
        "europe/ndvi.zarr/series/ndvi/0/1/2",
    ],
)
def test_values_of_frames_may_be_kept_by_either_kind_of_key(key: str) -> None:
    assert is_served(key)
    assert cache_control(key) == FOR_AN_HOUR
    assert cache_control(key, by_checksum=True) == IMMUTABLE


@pytest.mark.parametrize(
    "key",
    [
        "zarr.json",
        "time/c/0",
        "ndvi/zarr.json",
        "overviews/zarr.json",
        "overviews/4/zarr.json",
        "overviews/4/time/c/0",
        "overviews/4/ndvi/zarr.json",
        "series/zarr.json",
        "series/ndvi/zarr.json",
        "series/time/c/0",
        "series/time/zarr.json",
    ],
)
def test_what_a_commit_changes_is_asked_about_every_time(key: str) -> None:
    assert is_served(f"europe/ndvi.zarr/{key}")
    assert cache_control(f"europe/ndvi.zarr/{key}", by_checksum=True) == REVALIDATED


@pytest.mark.parametrize(
    "key",
    [
        "",
        "items.parquet",
        "europe/items/notes.txt",
        "europe/items",
        "europe/other/zarr.json",
        "lost+found/x.json",
    ],
)
def test_what_may_lie_beside_them_is_not_served(key: str) -> None:
    assert not is_served(key)
