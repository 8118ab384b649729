"""The page behind a university's login: an OIDC provider on loopback, Streamlit's own client, a real browser."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from ops.bench.processes import free_port
from tests.store.steps import claim, enqueue, new_job, persist, publish, success
from tests.support.browser import open_browser
from tests.support.oidc_provider import oidc_provider
from tests.support.wait import wait_until
from workers.store.decisions import read_audit

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.support.command_line import Bench

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]
PEOPLE = {
    "Kim": {"name": "Kim Roe", "email": "kim@uni.edu", "email_verified": True},
    "Lee": {"name": "Lee", "email": "lee@elsewhere.org", "email_verified": True},
    "Mallory": {"name": "Mallory", "email": "kim@uni.edu", "email_verified": False},
}
NO_ACCESS = "Your login has no access here"


def test_a_login_gives_name_and_role_and_who_fits_no_entry_is_refused(bench: Bench):
    enqueue(bench.store, [new_job("ada")])
    for job in claim(bench.store, publish(bench.store)).values():
        persist(bench.store, ending=success(job))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with oidc_provider(port=free_port(), page_url=url, people=PEOPLE) as provider:
        secrets = bench.folder / "login.toml"
        secrets.write_text(provider.secrets_file())
        bench.environment |= {
            "GRADEQUEUE_OIDC_SECRETS": str(secrets),
            "GRADEQUEUE_ROLES": "kim@uni.edu=owner,*@staff.uni.edu=grader",
        }
        served = bench.start("dashboard", "--port", str(port), "--address", "127.0.0.1")
        wait_until(lambda: answers(port), "the page answers")
        with open_browser() as page:
            sign_in(page, url, "Kim")
            page.get_by_text("Kim Roe <kim@uni.edu>, owner").wait_for()
            page.goto(f"{url}/batches?batch=b&student=ada")
            page.get_by_role("button", name="Approve").click()
            wait_until(lambda: decided_by(bench) == ["Kim Roe <kim@uni.edu>"], "the decision carries name and address")
            for who, shown in (("Lee", "Lee <lee@elsewhere.org>"), ("Mallory", "Mallory <kim@uni.edu>")):
                page.get_by_role("button", name="Sign out").click()
                page.get_by_role("button", name="Sign in").wait_for()
                sign_in(page, url, who)
                page.get_by_text(NO_ACCESS).wait_for()
                page.get_by_text(shown).wait_for()
                page.goto(f"{url}/batches?batch=b&student=ada")
                page.get_by_text(NO_ACCESS).wait_for()
                assert page.get_by_text("ada").count() == 0
        served.terminate()
        served.communicate()

    assert provider.refused == []
    assert len(decided_by(bench)) == 1


def decided_by(bench: Bench) -> list[str]:
    with bench.store.snapshot() as connection:
        return [entry.by for entry in read_audit(connection, "b")]


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
    except OSError:
        return False
    return True


def sign_in(page: Page, url: str, who: str) -> None:
    page.goto(url)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Sign in as").wait_for()
    page.get_by_role("link", name=who).click()
