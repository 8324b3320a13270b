"""What can be wrong with a bucket: one clear line, the right exit code, and nothing lost."""

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import obstore
import pytest
import requests

import etl
from etl.demo.service import StandIn
from tests.load.buckets import BUCKET, clean, faults, in_fork, outlive_all, raw, read, s3_server, variables
from tests.program import Ended, run, with_token

PLACE = f"s3://{BUCKET}/ndvi"
ROOT = "ndvi/europe/ndvi.zarr/zarr.json"
WRITER = ["s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:DeleteObject"]


@pytest.fixture(scope="module")
def shared_server() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def server(shared_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    clean(shared_server)
    for name, value in variables(shared_server).items():
        monkeypatch.setenv(name, value)
    yield shared_server
    allow_all(shared_server)


def into(service: StandIn, server: str, *options: str, **more: str) -> Ended:
    arguments = ("convert", "Europe", "--archive", PLACE, *options)
    return in_fork(server, *arguments, variables_too=with_token(service) | more)


def into_started(service: StandIn, *options: str, **more: str) -> Ended:
    """As a process of its own, which has the variables of this one and no others."""
    return run("convert", "Europe", "--archive", PLACE, *options, variables=with_token(service) | more)


def objects(server: str) -> dict[str, str]:
    """ETags of the archive's objects, without leases and reports of runs."""
    found = (entry for page in obstore.list(raw(server), "ndvi") for entry in page)
    own = ("/.lease", "/runs/")
    return {
        entry["path"]: entry["e_tag"] or ""
        for entry in found
        if not any(name in entry["path"] for name in own)
    }


def allow_all(server: str) -> None:
    requests.post(f"{server}/moto-api/reset-auth", data="inf", timeout=30).raise_for_status()


def account(server: str, *actions: str) -> dict[str, str]:
    """A user who may do these things, and from now on nobody may do anything else."""
    iam = boto3.client("iam", "eu-central-1", endpoint_url=server)
    iam.create_user(UserName="somebody")
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="somebody", PolicyName="policy", PolicyDocument=policy)
    key = iam.create_access_key(UserName="somebody")["AccessKey"]
    requests.post(f"{server}/moto-api/reset-auth", data="0", timeout=30).raise_for_status()
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def without_variables(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """As a user whose account is in files alone; no machine's role is asked for."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "config"))


@pytest.mark.parametrize("command", [["convert", "Europe"], ["info"], ["verify"], ["catalog"]])
def test_a_bucket_that_is_not_there(service: StandIn, server: str, command: list[str]) -> None:
    arguments = (*command, "--archive", "s3://no-such-bucket/ndvi")

    ended = in_fork(server, *arguments, variables_too=with_token(service))

    assert ended.code == 1
    assert "s3://no-such-bucket/ndvi" in ended.error
    assert "there is no such bucket; create it, or check --archive and --endpoint-url" in ended.error


def test_a_key_that_is_not_known(service: StandIn, server: str) -> None:
    account(server, *WRITER)

    ended = into(service, server)

    assert ended.code == 1
    assert "the access key is not known there; check AWS_ACCESS_KEY_ID" in ended.error


def test_a_secret_that_is_wrong_is_told_and_not_shown(service: StandIn, server: str) -> None:
    key = account(server, *WRITER)

    ended = into(service, server, **{**key, "AWS_SECRET_ACCESS_KEY": "hush-hush"})

    assert ended.code == 1
    assert "the secret key is wrong; check AWS_SECRET_ACCESS_KEY" in ended.error
    assert "hush-hush" not in ended.err + ended.out


def test_an_account_that_may_only_read(
    service: StandIn, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert into(service, server, "--end", "2021-03-05").code == 0
    before = objects(server)
    reader = account(server, "s3:GetObject", "s3:ListBucket")

    ended = into(service, server, **reader)
    told = in_fork(server, "info", "--archive", PLACE, variables_too=reader)
    verified = in_fork(server, "verify", "--archive", PLACE, variables_too=reader)

    assert ended.code == 1
    assert (
        "cannot write s3://archives/ndvi/europe/.lease: access is denied; check the permissions"
        in ended.error
    )
    assert (told.code, verified.code) == (0, 0)
    allow_all(server)
    assert objects(server) == before


def test_an_account_that_may_do_what_is_needed_and_no_more(service: StandIn, server: str) -> None:
    writer = account(server, *WRITER)

    assert into(service, server, **writer).code == 0
    assert into(service, server, "--rebuild", **writer).code == 0


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (403, "RequestTimeTooSkewed", "this machine's clock is wrong; set the clock"),
        (400, "ExpiredToken", "the credentials have expired; get new ones"),
        (301, "PermanentRedirect", "the bucket is in another region; set AWS_REGION"),
    ],
)
def test_a_storage_that_refuses_in_the_middle_of_a_run(
    service: StandIn, server: str, status: int, code: str, told: str
) -> None:
    assert into(service, server, "--end", "2021-03-05").code == 0
    before = objects(server)
    faults(server, {"fault": "answer", "conditional": True, "status": status, "code": code, "skip": 6})

    ended = into(service, server)

    faults(server)
    assert ended.code == 1
    assert told in ended.error
    assert objects(server)[ROOT] == before[ROOT]
    outlive_all(server, "ndvi/europe")
    assert into(service, server).code == 0
    assert in_fork(server, "verify", "--archive", PLACE).code == 0


@pytest.mark.parametrize("method", ["create", "replace"])
def test_a_storage_that_ignores_conditions_is_not_used(service: StandIn, server: str, method: str) -> None:
    if method == "replace":
        assert into(service, server, "--end", "2021-03-05").code == 0
    before = objects(server)
    faults(server, {"fault": "ignore_conditions"})

    ended = into(service, server)

    assert ended.code == 1
    assert "the storage does not keep the conditions of writes (If-None-Match, If-Match)" in ended.error
    faults(server)
    assert objects(server) == before


def test_a_storage_that_knows_no_conditions_is_not_used(service: StandIn, server: str) -> None:
    faults(server, {"fault": "answer", "conditional": True, "status": 501, "code": "NotImplemented"})

    ended = into(service, server)

    assert ended.code == 1
    assert "the storage knows no conditional writes" in ended.error
    assert objects(server) == {}


def test_an_archive_of_a_newer_version(service: StandIn, server: str) -> None:
    assert into(service, server, "--end", "2021-03-05").code == 0
    root = json.loads(read(server, ROOT))
    root["attributes"]["ndvi_archive_format"] = 99
    obstore.put(raw(server), ROOT, json.dumps(root).encode())
    before = objects(server)

    for command in (["convert", "Europe"], ["convert", "Europe", "--rebuild"], ["catalog"], ["verify"]):
        ended = in_fork(server, *command, "--archive", PLACE, variables_too=with_token(service))
        assert ended.code == 6, command
    assert "has format 99" in into(service, server).error
    after = objects(server)
    assert {key: after[key] for key in before} == before


def test_an_endpoint_that_is_no_url(service: StandIn) -> None:
    ended = into_started(service, "--endpoint-url", "localhost:9000")

    assert ended.code == 2
    assert "'localhost:9000' is no URL such as https://" in ended.err


def test_no_credentials_at_all(
    service: StandIn, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_variables(monkeypatch, tmp_path)

    ended = into_started(service, "--endpoint-url", server)

    assert ended.code == 1
    assert ended.error.startswith("there are no credentials for s3://; set AWS_ACCESS_KEY_ID")


def test_a_profile_that_is_not_there(
    service: StandIn, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_variables(monkeypatch, tmp_path)

    ended = into_started(service, AWS_PROFILE="work")

    assert ended.code == 2
    assert "The config profile (work) could not be found; check AWS_PROFILE" in ended.error


def test_a_process_for_credentials_that_fails(
    service: StandIn, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_variables(monkeypatch, tmp_path)
    (tmp_path / "config").write_text("[default]\ncredential_process = false\n")

    ended = into_started(service, "--endpoint-url", server)

    assert ended.code == 1
    assert "no credentials can be had for s3://" in ended.error


@pytest.mark.parametrize("endpoint", ["endpoint_url = {}", "services = mine"])
def test_account_region_and_endpoint_come_from_a_profile(
    service: StandIn, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    key = account(server, *WRITER)
    without_variables(monkeypatch, tmp_path)
    (tmp_path / "credentials").write_text(
        f"[work]\naws_access_key_id = {key['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {key['AWS_SECRET_ACCESS_KEY']}\n"
    )
    (tmp_path / "config").write_text(
        f"[profile work]\nregion = eu-central-1\n{endpoint.format(server)}\n"
        f"[services mine]\ns3 =\n  endpoint_url = {server}\n"
    )

    ended = into_started(service, AWS_PROFILE="work")

    assert ended.code == 0, ended.err


def test_a_public_bucket_is_read_without_an_account(
    service: StandIn, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert into(service, server).code == 0
    client = boto3.client("s3", "eu-central-1", endpoint_url=server)
    client.put_bucket_acl(Bucket=BUCKET, ACL="public-read")
    for key in objects(server):
        client.put_object_acl(Bucket=BUCKET, Key=key, ACL="public-read")
    without_variables(monkeypatch, tmp_path)
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)

    told = run("info", "--archive", PLACE)

    assert "20 frames" in told.out, told.err
    assert np.isfinite(etl.open_archive(PLACE, "Europe").ndvi[0].values).any()
