"""A page of somebody else reads an archive by zarrita: from `serve`, or straight from a public bucket."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import pytest
import xarray as xr
from playwright.sync_api import Error, Page

from etl.serve.app import STATIC
from tests.load.buckets import BUCKET, CREDENTIALS, s3_server
from tests.serve.serving import serving

from .conftest import Seen, in_both_layouts

pytestmark = pytest.mark.slow

VIEWER = STATIC.parents[2] / "build" / "web" / "viewer"
# Without `useSuffixRequest` a HEAD comes before, which moto, unlike S3, answers without the headers of CORS.
SCRIPT = """
import * as zarr from "zarrita";
window.read = async (url) => {
  const group = await zarr.open.v3(new zarr.FetchStore(url, { useSuffixRequest: true }), { kind: "group" });
  const ndvi = await zarr.open.v3(group.resolve("ndvi"), { kind: "array" });
  const { data, shape } = await zarr.get(ndvi);
  return [shape, Array.from(data), ndvi.attrs.scale_factor];
};
"""
PUBLIC = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": "*",
            # moto asks for an action of its own before it answers HEAD; S3 takes GetObject for both.
            "Action": ["s3:GetObject", "s3:HeadObject"],
            "Resource": f"arn:aws:s3:::{BUCKET}/*",
        }
    ],
}


@pytest.fixture
def bucket(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a public bucket that holds the archive; no page may read it yet."""
    # Or moto lets every page read everything.
    monkeypatch.setenv("MOTO_DISABLE_GLOBAL_CORS", "true")
    with s3_server() as address:
        client = _client(address)
        client.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(PUBLIC))
        for path in (archive / "europe/ndvi.zarr").rglob("*"):
            if path.is_file():
                client.upload_file(path, BUCKET, path.relative_to(archive).as_posix())
        yield address.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - an address to go to


def _client(address: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - boto3 has no types
    return boto3.client(
        "s3",
        endpoint_url=address,
        region_name=CREDENTIALS["AWS_REGION"],
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )


@pytest.fixture
def elsewhere(page: Page, url: str) -> Page:
    """A page of a server that is not the bucket's, with zarrita on it."""
    if not (VIEWER / "node_modules/zarrita").is_dir():
        pytest.skip("NOT TESTED WITH ZARRITA: scripts/build-web has not run here")
    bundled = subprocess.run(
        [VIEWER / "node_modules/.bin/esbuild", "--bundle", "--format=iife", "--loader=js"],
        cwd=VIEWER,
        input=SCRIPT,
        capture_output=True,
        text=True,
        check=True,
    )
    page.goto(f"{url}/catalog.json")
    page.evaluate(bundled.stdout)
    return page


def assert_reads(page: Page, group: str, archive: Path) -> None:
    """Check that a page reads every value of Europe at an address as it is stored."""
    shape, values, scale = page.evaluate("url => read(url)", group)
    stored = xr.open_zarr(archive / "europe/ndvi.zarr", mask_and_scale=False, chunks=None).ndvi
    assert scale == stored.attrs["scale_factor"]
    np.testing.assert_array_equal(np.reshape(values, shape), stored.values)


@in_both_layouts
def test_a_page_reads_a_bucket_whose_rules_let_it(
    archive: Path, bucket: str, elsewhere: Page, url: str
) -> None:
    rule = {"AllowedOrigins": [url], "AllowedMethods": ["GET", "HEAD"], "AllowedHeaders": ["Range"]}
    _client(bucket).put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": [rule]})

    assert_reads(elsewhere, f"{bucket}/{BUCKET}/europe/ndvi.zarr", archive)


@in_both_layouts
def test_a_page_of_another_server_reads_what_is_served_value_by_value(
    archive: Path, elsewhere: Page, url: str
) -> None:
    # To a browser another port is another place, which must let it read.
    with serving(archive) as server:
        assert server.url != url
        assert_reads(elsewhere, f"{server.url}/europe/ndvi.zarr", archive)


def test_a_page_reads_no_bucket_that_has_no_rules(bucket: str, elsewhere: Page, seen: Seen) -> None:
    with pytest.raises(Error, match="Failed to fetch"):
        elsewhere.evaluate("url => read(url)", f"{bucket}/{BUCKET}/europe/ndvi.zarr")

    assert any("No 'Access-Control-Allow-Origin' header" in fault for fault in seen.faults)
    seen.faults.clear()
