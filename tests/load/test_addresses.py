"""Addresses of archives: what they name, and what is refused without being repeated."""

from pathlib import Path

import pytest

import etl
from etl.errors import StorageError, UsageError
from etl.load.addresses import folder_at, without_secrets
from etl.load.bucket_client import refusal
from etl.load.folder import LocalFolder
from etl.load.stores import open_store


@pytest.mark.parametrize(
    ("address", "folder"),
    [
        ("archive", "archive"),
        ("/data/a:b", "/data/a:b"),
        ("/data/a b%20c?d#e", "/data/a b%20c?d#e"),
        ("file:/data/ndvi", "/data/ndvi"),
        ("file:///data/ndvi", "/data/ndvi"),
        ("file://localhost/data/ndvi", "/data/ndvi"),
        ("file:///data/a%20b%3Fc", "/data/a b?c"),
        ("s3://bucket", None),
        ("s3://bucket/some/folder", None),
        ("gs://bucket/folder", None),
        ("az://container/folder", None),
        ("abfss://container@account.dfs.core.windows.net/folder", None),
    ],
)
def test_an_address_names_a_folder_or_a_bucket(address: str, folder: str | None) -> None:
    assert folder_at(address) == (folder and Path(folder))


def test_a_folder_can_be_named_by_a_url(tmp_path: Path) -> None:
    store = open_store(f"file://localhost{tmp_path}/a%20b")

    assert isinstance(store, LocalFolder)
    assert store.root == tmp_path / "a b"


@pytest.mark.parametrize(
    "address",
    [
        *(
            "",
            " ",
            "file:ndvi",
            "file:~/ndvi",
            "file://host/data",
            "file:///a?b",
            "file:///a#b",
            "file:///a%00b",
        ),
        *("s3://", "s3:///x", "s3:/bucket/x", "s3://[", "ftp://host/x", "https://host/x", "s3://bucket/x#y"),
    ],
)
def test_what_names_neither_is_refused(address: str) -> None:
    with pytest.raises(UsageError):
        folder_at(address)


SECRETS = [
    "{}://joe:hush@host/x",
    "{}://hush@host/x",
    "{}://joe:hu/sh@host/x",
    "{}://host/x?signature=hush",
    "{}://host/x#hush",
    "{}://joe:hush",
]


@pytest.mark.parametrize("address", SECRETS)
@pytest.mark.parametrize("scheme", ["s3", "gs", "az", "ftp"])
def test_an_address_with_a_secret_is_refused_and_not_repeated(address: str, scheme: str) -> None:
    with pytest.raises(UsageError) as refused:
        open_store(address.format(scheme))

    assert "hush" not in str(refused.value)
    assert "sh@" not in str(refused.value)


@pytest.mark.parametrize("address", SECRETS)
def test_so_is_one_of_a_served_archive(address: str) -> None:
    with pytest.raises(UsageError) as refused:
        etl.open_archive(address.format("http"), "Europe")

    assert "hush" not in str(refused.value)
    assert "sh@" not in str(refused.value)


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"])
def test_so_is_one_of_the_storage_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv(name, "http://joe:hush@127.0.0.1:9")

    with pytest.raises(UsageError, match=r"an address on 127\.0\.0\.1 holds a user, a password") as refused:
        open_store("s3://bucket/x")

    assert "hush" not in str(refused.value)


def test_what_a_storage_says_is_told_without_secrets() -> None:
    said = "error for http://joe:hu@sh@proxy:3128/x?token=hush (http://me@host/a): refused"

    told = str(refusal("read", "http://joe:hush@host/x", OSError(said)))

    assert "hush" not in told
    assert "sh@" not in told
    assert "http://proxy:3128/x (http://host/a): refused" in without_secrets(said).replace(" (", " (")


def test_a_server_that_is_not_there_is_told_by_its_address() -> None:
    with pytest.raises(StorageError) as refused:
        etl.open_archive("http://127.0.0.1:9", "Europe")

    reason = "http://127.0.0.1:9 cannot be reached: Connection refused"
    assert f"{reason}; check the address, the server and the network" in str(refused.value)
