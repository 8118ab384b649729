"""DATABASE_URL is used or refused with a sentence; no part of it is ever quoted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.local.data_folder import check_store_file
from workers.contract.errors import ServiceUnavailable
from workers.store import Store
from workers.store.url import store_url

SECRET = "s3cretpw"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"postgresql://u:{SECRET}@h:abc/d", "port"),
        (f"postgresql://u:{SECRET}@h:/d", "port"),
        (f"postgresql://u:{SECRET}:5432/d", "port"),
        (f"postgresql://u:{SECRET}@h:99999/d", "port outside"),
        (f"postgresql://u:{SECRET}@h:0/d", "port outside"),
        (f"postgresql://u:pa@{SECRET}@h/d", "%40"),
        (f"postgresql+asyncpg://u:{SECRET}@h/d", "driver"),
        (f"mysql://u:{SECRET}@h/d", "driver"),
        (f"postgresql://u:{SECRET}%00@h/d", "control character"),
        (f"postgresql://u:{SECRET}@h/d\x1b", "control character"),
        ("sqlite://store.db", "three slashes"),
        ("sqlite:////tmp/\x00.db", "control character"),
        ("sqlite://", "memory"),
        ("", "not a database URL"),
        (SECRET, "not a database URL"),
    ],
)
def test_a_malformed_url_gets_a_sentence_without_its_password(url: str, says: str):
    with pytest.raises(ServiceUnavailable, match=says) as caught:
        Store.open(url)
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_an_option_that_the_driver_does_not_know_is_a_sentence_too():
    store = Store.open(f"postgresql://u:{SECRET}@127.0.0.1:1/d?colour=red")
    with pytest.raises(ServiceUnavailable, match="colour") as caught, store.snapshot():
        pass
    assert SECRET not in str(caught.value)
    store.close()


@pytest.mark.parametrize("url", ["postgres://h/d", "postgresql://u:p%40ss@h:5432/d", "postgresql+psycopg://h/d"])
def test_a_url_of_every_usual_spelling_is_taken(url: str):
    assert store_url(url).drivername == "postgresql+psycopg"


@given(st.text(max_size=20), st.text(max_size=20), st.sampled_from(["postgresql://", "sqlite:///", "postgres:", ""]))
def test_whatever_is_written_there_no_other_error_comes(before: str, after: str, scheme: str):
    said = ""
    try:
        store_url(f"{scheme}{before}:{SECRET}@{after}")
    except ServiceUnavailable as error:
        said = str(error)
    assert SECRET not in said


@pytest.mark.parametrize("url", ["postgresql://u@h:54x/d", "postgresql://[::1/d", "nonsense"])
def test_the_check_of_the_stores_file_gives_the_same_sentence(url: str):
    """It reads the URL before the store does."""
    with pytest.raises(ServiceUnavailable, match="DATABASE_URL"):
        check_store_file(url)
