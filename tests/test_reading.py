"""`etl.open_archive`: what an analyst gets."""

from pathlib import Path

import numpy as np
import pytest
from dask.base import is_dask_collection

import etl
from etl.demo.scene import SceneFrame
from etl.demo.service import StandIn
from etl.errors import UsageError
from tests.cli.test_convert import expected_values
from tests.program import convert, run, with_token

from .load.buckets import BUCKET, s3_server, variables


def decoded(scenes: list[SceneFrame]) -> np.ndarray:
    return np.stack([expected_values(scene) for scene in scenes]) * 0.0001


def test_an_archive_opens_masked_with_the_names_of_its_satellites(
    service: StandIn, archive: Path, scenes: list[SceneFrame]
) -> None:
    convert(service, archive)

    dataset = etl.open_archive(str(archive), "Europe")

    assert dataset.satellite.values.tolist() == [scene.satellite for scene in scenes]
    assert is_dask_collection(dataset.ndvi)
    ndvi = decoded(scenes)
    np.testing.assert_allclose(dataset.ndvi.values, np.where(ndvi >= 0.05, ndvi, np.nan), atol=1e-9)
    assert dataset.ndvi.attrs["units"] == "1"
    s3b = dataset.ndvi.isel(time=(dataset.satellite == "S3B").values)
    assert s3b.sizes["time"] == 10


def test_nothing_is_masked_where_that_is_asked_for(
    service: StandIn, archive: Path, scenes: list[SceneFrame]
) -> None:
    convert(service, archive)

    dataset = etl.open_archive(str(archive), "Europe", mask=False)

    np.testing.assert_allclose(dataset.ndvi.values, decoded(scenes), atol=1e-9)


def test_an_archive_in_a_bucket_opens_as_one_in_a_folder(
    service: StandIn, scenes: list[SceneFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server() as address:
        for name, value in variables(address).items():
            monkeypatch.setenv(name, value)
        place = f"s3://{BUCKET}/ndvi"
        ended = run(
            "convert", "Europe", "--archive", place, variables=with_token(service) | variables(address)
        )
        assert ended.code == 0, ended.err
        verified = run("verify", "--archive", place, variables=variables(address))
        assert verified.code == 0, verified.out + verified.err
        told = run("info", "--archive", place, "--endpoint-url", address, variables=variables("http://x"))
        assert "20 frames" in told.out

        dataset = etl.open_archive(place, "Europe", mask=False)

        np.testing.assert_allclose(dataset.ndvi.values, decoded(scenes), atol=1e-9)


def test_what_is_not_there_is_told(archive: Path) -> None:
    with pytest.raises(UsageError, match="nothing of Europe is archived"):
        etl.open_archive(str(archive), "Europe")


def test_the_package_has_nothing_else_to_offer() -> None:
    with pytest.raises(AttributeError):
        etl.__getattr__("close_archive")
