"""Netrc files and proxy variables; each case is also asked of the original where it is installed."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from fairlead.client import env

needs_oracle = pytest.mark.skipif(importlib.util.find_spec("aiohttp") is None, reason="aiohttp is not installed")
# System settings of these decide as soon as no variable is set.
variables_only = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the system has proxy settings too")


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No proxy variable, no NETRC, an empty home."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("NETRC", "REQUEST_METHOD"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return monkeypatch


def home_netrc(tmp_path: Path) -> Path:
    return tmp_path / ("_netrc" if sys.platform == "win32" else ".netrc")


def test_no_netrc(clean: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    assert env.netrc_from_env() is None
    clean.setenv("NETRC", "")
    assert env.netrc_from_env() is None
    assert not caplog.records


def test_netrc_of_the_home(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home_netrc(tmp_path).write_text("machine a login u password p\n")
    found = env.netrc_from_env()
    assert env.basicauth_from_netrc(found, "a") == ("u", "p", "latin1")


def test_named_netrc_and_its_changes(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "named"
    path.write_text("machine a login u password p\n")
    clean.setenv("NETRC", str(path))
    first = env.netrc_from_env()
    assert env.netrc_from_env() is first  # an unchanged file is parsed once
    path.write_text("machine a login other password p\n")
    assert env.basicauth_from_netrc(env.netrc_from_env(), "a").login == "other"
    second = tmp_path / "second"
    second.write_text("machine a login third password p\n")
    clean.setenv("NETRC", str(second))
    assert env.basicauth_from_netrc(env.netrc_from_env(), "a").login == "third"
    clean.delenv("NETRC")
    assert env.netrc_from_env() is None


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "Could not read .netrc file: "),
        (b"machine a bogus\n", "Could not parse .netrc file: "),
        (b"machine \xff\xfe login u password p\n", "Could not parse .netrc file: "),
        (b"#" * (env.MAX_NETRC_SIZE + 1), "Could not read .netrc file: "),
    ],
    ids=["missing", "malformed", "bytes", "huge"],
)
def test_unusable_netrc_is_logged(
    content: bytes | None, text: str, clean: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "named"
    if content is not None:
        path.write_bytes(content)
    clean.setenv("NETRC", str(path))
    assert env.netrc_from_env() is None
    (record,) = caplog.records
    assert record.name == "fairlead.client"
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(text)


def test_a_directory_is_no_netrc(clean: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clean.setenv("NETRC", str(tmp_path))
    assert env.netrc_from_env() is None
    assert len(caplog.records) == 1


def test_basicauth_from_netrc(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "named"
    path.write_text("machine a login u password p\nmachine b account acc password q\nmachine c login x\n")
    clean.setenv("NETRC", str(path))
    found = env.netrc_from_env()
    assert env.basicauth_from_netrc(found, "b") == ("acc", "q", "latin1")
    assert env.basicauth_from_netrc(found, "c") == ("x", "", "latin1")
    with pytest.raises(LookupError, match="No entry for d found"):
        env.basicauth_from_netrc(found, "d")
    with pytest.raises(LookupError, match=r"No \.netrc file found"):
        env.basicauth_from_netrc(None, "a")
    path.write_text("machine a login u password p\ndefault login d password dp\n")
    assert env.basicauth_from_netrc(env.netrc_from_env(), "anything") == ("d", "dp", "latin1")


PROXY_CASES: list[dict[str, str]] = [
    {},
    {"http_proxy": "http://u:p@proxy:1", "https_proxy": "http://proxy2:2"},
    {"HTTP_PROXY": "http://proxy:1"},
    {"http_proxy": "https://proxy:1", "https_proxy": "wss://proxy:1"},
    {"https_proxy": "ws://proxy", "ws_proxy": "http://w", "wss_proxy": "http://w2"},
    {"http_proxy": "proxy:1"},
    {"http_proxy": "socks5://proxy:1"},
    {"all_proxy": "http://proxy:1"},
    {"http_proxy": ""},
    {"http_proxy": " http://proxy:1 "},
    {"REQUEST_METHOD": "GET", "HTTP_PROXY": "http://proxy:1"},
    {"http_proxy": "http://proxy:1", "no_proxy": "*"},
    {"http_proxy": "http://proxy:1", "no_proxy": "a.com,*"},
    {"http_proxy": "http://proxy:1", "NO_PROXY": "a.com"},
    {"http_proxy": "http://proxy:1", "no_proxy": "", "NO_PROXY": "a.com"},
    {"http_proxy": "http://proxy:1", "no_proxy": "a.com,.b.com, c.com ,10.0.0.1, ::1,[::2], 10.1.0.0/16"},
]
PROXIED_URLS = (
    "http://a.com http://x.a.com http://xa.com http://b.com http://x.b.com http://c.com http://c.com:81"
    " http://10.0.0.1:80 http://[::1]/ http://[::2]/ http://10.1.2.3 http://A.com http://localhost https://a.com"
    " http://a.com. ws://a.org wss://a.org ftp://a.org /relative"
).split()


def outcome(call: Any, *args: Any) -> Any:
    try:
        return call(*args)
    except LookupError as exc:
        return str(exc)


@variables_only
@needs_oracle
@pytest.mark.parametrize("variables", PROXY_CASES, ids=str)
def test_proxies_as_in_the_original(variables: dict[str, str], clean: pytest.MonkeyPatch) -> None:
    from aiohttp import helpers

    for name, value in variables.items():
        clean.setenv(name, value)
    expected = {scheme: (info.proxy, info.proxy_auth) for scheme, info in helpers.proxies_from_env().items()}
    assert env.proxies_from_env() == expected
    for text in PROXIED_URLS:
        url = URL(text)
        assert outcome(env.get_env_proxy_for_url, url) == outcome(helpers.get_env_proxy_for_url, url), text


@variables_only
def test_changes_are_seen_at_once(clean: pytest.MonkeyPatch) -> None:
    url = URL("http://x.com/")
    with pytest.raises(LookupError, match="No proxies found"):
        env.get_env_proxy_for_url(url)
    clean.setenv("http_proxy", "http://u:p@proxy:1")
    assert env.get_env_proxy_for_url(url) == (URL("http://proxy:1"), ("u", "p", "latin1"))
    clean.setenv("http_proxy", "http://proxy:2")
    assert env.get_env_proxy_for_url(url) == (URL("http://proxy:2"), None)
    clean.setenv("no_proxy", "x.com")
    with pytest.raises(LookupError, match="Proxying is disallowed"):
        env.get_env_proxy_for_url(url)


@variables_only
def test_no_proxy_with_a_port(clean: pytest.MonkeyPatch) -> None:
    clean.setenv("http_proxy", "http://proxy:1")
    clean.setenv("no_proxy", "x.com:81")
    assert env.get_env_proxy_for_url(URL("http://x.com:82/"))[0] == URL("http://proxy:1")
    with pytest.raises(LookupError, match="Proxying is disallowed"):
        env.get_env_proxy_for_url(URL("http://x.com:81/"))


@variables_only
def test_secure_proxies_are_left_out_with_a_warning(
    clean: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clean.setenv("http_proxy", "https://u:secret@proxy:1")
    assert env.proxies_from_env() == {}
    assert [record.getMessage() for record in caplog.records] == [
        "HTTPS proxies https://proxy:1 are not supported, ignoring"
    ]


@variables_only
@pytest.mark.parametrize("value", ["http://[::1", "http://proxy:99999"])
def test_a_value_that_is_no_url_names_its_variable(value: str, clean: pytest.MonkeyPatch) -> None:
    clean.setenv("http_proxy", value)
    with pytest.raises(ValueError, match="http_proxy in the environment"):
        env.proxies_from_env()
