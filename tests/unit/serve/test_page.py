"""The page: one file without foreign parts, of which the browser runs the inline script alone."""

import re

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from gaudi_asr_cli.serve.page import PAGE_FILE, page_routes


@pytest.fixture
def response():
    app = FastAPI()
    app.include_router(page_routes())
    return TestClient(app).get("/")


def test_the_page_comes_with_a_policy_that_names_its_script_and_style(response):
    policy = response.headers["content-security-policy"]

    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.text == PAGE_FILE.read_text(encoding="utf-8")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy


def test_the_page_names_no_other_server_and_keeps_no_key(response):
    assert re.findall(r"https?://", response.text) == []
    assert "localStorage" not in response.text
    assert "innerHTML" not in response.text
    assert re.findall(r'\son\w+=|\sstyle="', response.text) == []
