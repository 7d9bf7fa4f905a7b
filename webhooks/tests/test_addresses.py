"""Nothing is sent into our own network, whatever a URL or a name server says."""

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.utils import timezone
from pytest_django import Settings

from webhooks import addresses, outgoing
from webhooks.addresses import (
    LookupTimedOut,
    NoPublicAddress,
    Target,
    UnacceptableURL,
    addresses_of,
    is_public,
    parse_url,
)
from webhooks.outgoing import parse_retry_after, post
from webhooks.tests.receivers import raw_server, receiver

PUBLIC = "93.184.215.14"


def _names(monkeypatch: pytest.MonkeyPatch, **hosts: Sequence[str]) -> list[str]:
    """A name server that knows these hosts; returns what it is asked."""
    asked: list[str] = []
    answers = {name.replace("_", "."): list(found) for name, found in hosts.items()}

    def look_up(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        if host not in answers:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return answers[host]

    monkeypatch.setattr(addresses, "look_up", look_up)
    return asked


@pytest.fixture
def _nothing_allowed(settings: Settings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = []


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com/hook?x=1", Target("https", "example.com", 443)),
        ("https://EXAMPLE.com:8443", Target("https", "example.com", 8443)),
        ("https://xn--bcher-kva.example/", Target("https", "xn--bcher-kva.example", 443)),
        ("https://93.184.215.14/", Target("https", "93.184.215.14", 443)),
        ("https://[2606:2800:220:1::]:8443/", Target("https", "2606:2800:220:1::", 8443)),
    ],
)
@pytest.mark.usefixtures("_nothing_allowed")
def test_a_usual_url_is_taken(url: str, target: Target) -> None:
    assert parse_url(url) == target


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://example.com/", "https_required"),
        ("ftp://example.com/", "https_required"),
        ("HTTPS//example.com", "https_required"),
        ("//example.com/", "https_required"),
        ("https://user@example.com/", "invalid_url"),
        ("https://user:password@example.com/", "invalid_url"),
        ("https://example.com@10.0.0.1/", "invalid_url"),
        ("https://example.com/#fragment", "invalid_url"),
        ("https://example.com\\@10.0.0.1/", "invalid_url"),
        ("https://exa mple.com/", "invalid_url"),
        ("https://example.com/\r\nHost: x", "invalid_url"),
        ("https://bücher.example/", "invalid_url"),
        ("https://①②⑦.0.0.1/", "invalid_url"),
        ("https://example.com:70000/", "invalid_url"),
        ("https://example.com:x/", "invalid_url"),
        ("https://[::1/", "invalid_url"),
        ("https://" + "a" * 2048, "invalid_url"),
        ("", "invalid_url"),
        ("https://example.com:22/", "invalid_port"),
        ("https://example.com:80/", "invalid_port"),
        ("https://example.com:0/", "invalid_port"),
        ("https:///path", "invalid_host"),
        ("https://example.com./", "invalid_host"),
        ("https://ex%61mple.com/", "invalid_host"),
        ("https://-x.example/", "invalid_host"),
        ("https://a_b.example/", "invalid_host"),
        ("https://127.1/", "invalid_host"),
        ("https://2130706433/", "invalid_host"),
        ("https://0x7f000001/", "invalid_host"),
        ("https://0x7f.0.0.1/", "invalid_host"),
        ("https://0177.0.0.1/", "invalid_host"),
        ("https://127.0.0.01/", "invalid_host"),
        ("https://127.0.0.1./", "invalid_host"),
        ("https://1.2.3.256/", "invalid_host"),
        ("https://x.1/", "invalid_host"),
        ("https://[fe80::1%25eth0]/", "invalid_host"),
        ("https://[::g]/", "invalid_url"),
    ],
)
@pytest.mark.usefixtures("_nothing_allowed")
def test_a_url_that_could_be_read_in_two_ways_is_refused(url: str, code: str) -> None:
    with pytest.raises(UnacceptableURL) as refusal:
        parse_url(url)
    assert refusal.value.code == code


@pytest.mark.parametrize(
    "text",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254"),
        *("172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1"),
        *("198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1"),
        *(
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:93.184.215.14",
            "::127.0.0.1",
        ),
        *("64:ff9b::7f00:1", "64:ff9b::5db8:d70e", "64:ff9b:1::1", "100::1", "2001::1"),
        *("2001:db8::1", "2002:7f00:1::", "2002:5db8:d70e::1", "3fff::1", "5f00::1", "fc00::1"),
        *(
            "fd12:3456::1",
            "fe80::1",
            "fe80::1%eth0",
            "2606:2800:220:1::1%eth0",
            "fec0::1",
            "ff02::1",
        ),
    ],
)
def test_this_address_is_not_public(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ["93.184.215.14", "8.8.8.8", "172.32.0.1", "2606:2800:220:1::1"])
def test_this_address_is_public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.usefixtures("_nothing_allowed")
def test_a_host_with_one_private_address_among_others_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _names(
        monkeypatch,
        good_example=[PUBLIC],
        both_example=[PUBLIC, "10.0.0.1"],
        mapped_example=["::ffff:10.0.0.1"],
        zone_example=["fe80::1%eth0"],
        none_example=[],
        odd_example=["not an address"],
    )

    def found(host: str) -> list[str]:
        return [str(each) for each in addresses_of(Target("https", host, 443), seconds=1)]

    assert found("good.example") == [PUBLIC]
    for name in ("both", "mapped", "zone", "none", "odd", "unknown"):
        with pytest.raises(NoPublicAddress):
            found(f"{name}.example")


def test_plain_http_goes_to_allowed_networks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    _names(monkeypatch, here_example=["127.0.0.1"], there_example=[PUBLIC])
    assert addresses_of(parse_url("http://here.example/"), seconds=1)
    with pytest.raises(NoPublicAddress):
        addresses_of(parse_url("http://there.example/"), seconds=1)


def test_a_name_server_that_hangs_is_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(addresses, "look_up", lambda *_: release.wait(10))
    begun = time.monotonic()
    with pytest.raises(LookupTimedOut):
        addresses_of(Target("https", "slow.example", 443), seconds=0.1)
    answer = post("http://slow.example:8000/", headers={}, body=b"", seconds=0.1)
    assert (answer.status, answer.error) == (None, "timeout")
    assert time.monotonic() - begun < 2
    release.set()


def test_a_name_that_is_private_by_the_time_it_is_used_is_not_connected_to(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """DNS that changes between check and use: each connection judges its own look-up, once."""
    with receiver() as site:
        settings.WEBHOOK_ALLOWED_NETWORKS = []
        url = f"https://rebinding.example:{site.port}/"
        _names(monkeypatch, rebinding_example=[PUBLIC])
        assert addresses_of(parse_url(url), seconds=1)
        asked = _names(monkeypatch, rebinding_example=["127.0.0.1"])
        answer = post(url, headers={}, body=b"{}", seconds=5)
        assert (answer.status, answer.error) == (None, "no_public_address")
        assert asked == ["rebinding.example"]
    assert site.received == []


def test_the_address_that_was_judged_is_connected_to_without_another_look_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The name server's second answer would be another machine; it is never asked for it."""
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    monkeypatch.setattr(addresses, "look_up", lambda *_: answers.pop(0))
    resolved: list[str] = []
    original = socket.getaddrinfo

    def getaddrinfo(host: str, *args: object, **kwargs: object) -> object:
        resolved.append(host)
        return original(host, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with receiver() as site:
        answer = post(f"http://twice.example:{site.port}/", headers={}, body=b"{}", seconds=5)
    assert answer.is_good
    assert len(answers) == 1
    assert set(resolved) <= {"127.0.0.1"}
    assert site.received[0].headers["host"] == f"twice.example:{site.port}"


def test_of_several_addresses_the_next_is_tried_where_one_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _names(monkeypatch, two_example=["127.0.0.99", "127.0.0.1"])
    with receiver() as site:
        assert post(f"http://two.example:{site.port}/", headers={}, body=b"", seconds=5).is_good


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as proxy, receiver() as site:
        for name in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert post(site.url, headers={}, body=b"{}", seconds=5).is_good
    assert (len(proxy.received), len(site.received)) == (0, 1)


def _drip(connection: socket.socket) -> None:
    connection.recv(65536)
    for byte in b"HTTP/1.1 200 OK\r\n" + b"x-filler: y\r\n" * 100:
        connection.sendall(bytes([byte]))
        time.sleep(0.02)


def _silence(connection: socket.socket) -> None:
    connection.recv(65536)
    time.sleep(5)


def _endless_body(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(200):
        connection.sendall(b"1\r\nx\r\n")
        time.sleep(0.02)


def _noise(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"220 mail.example ESMTP\r\n" * 100)


def _endless_headers(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"x-filler: " + b"y" * 8000 + b"\r\n")


def _hang_up(connection: socket.socket) -> None:
    connection.recv(1)


@pytest.mark.parametrize("serve", [_drip, _silence])
def test_an_answer_that_drips_or_never_comes_ends_with_the_time(serve: object) -> None:
    with raw_server(serve) as port:  # type: ignore[arg-type]
        begun = time.monotonic()
        answer = post(f"http://127.0.0.1:{port}/", headers={}, body=b"{}", seconds=0.5)
    assert (answer.status, answer.error) == (None, "timeout")
    assert time.monotonic() - begun < 1.5
    assert 0.4 < answer.duration.total_seconds() < 1.5


def test_a_body_without_end_is_not_waited_for() -> None:
    with raw_server(_endless_body) as port:
        answer = post(f"http://127.0.0.1:{port}/", headers={}, body=b"{}", seconds=5)
    assert answer.status == 200
    assert answer.duration.total_seconds() < 1


@pytest.mark.parametrize(
    ("serve", "error"),
    [
        (_noise, "protocol_error"),
        (_endless_headers, "protocol_error"),
        (_hang_up, "protocol_error"),
    ],
)
def test_what_is_no_answer_is_a_word(serve: object, error: str) -> None:
    with raw_server(serve) as port:  # type: ignore[arg-type]
        answer = post(f"http://127.0.0.1:{port}/", headers={}, body=b"{}", seconds=3)
    assert (answer.status, answer.error) in {(None, error), (None, "connection_failed")}


def test_nobody_listening_is_a_word() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        answer = post(url, headers={}, body=b"{}", seconds=3)
    assert (answer.status, answer.error) == (None, "connection_failed")


def _certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for a host, and what serves it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = timezone.now()
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return path, context


def test_the_certificate_must_be_the_hosts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path, serving = _certificate(tmp_path, "tls.example")
    trusting = ssl.create_default_context(cafile=str(path))
    _names(monkeypatch, tls_example=["127.0.0.1"], other_example=["127.0.0.1"])

    def serve(connection: socket.socket) -> None:
        with serving.wrap_socket(connection, server_side=True) as wrapped:
            while not wrapped.recv(65536).endswith(b"{}"):
                pass
            wrapped.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with raw_server(serve) as port:
        answer = post(f"https://tls.example:{port}/", headers={}, body=b"{}", seconds=5)
        assert (answer.status, answer.error) == (None, "tls_failed")
        monkeypatch.setattr(outgoing, "_context", trusting)
        assert post(f"https://tls.example:{port}/", headers={}, body=b"{}", seconds=5).is_good
        answer = post(f"https://other.example:{port}/", headers={}, body=b"{}", seconds=5)
        assert (answer.status, answer.error) == (None, "tls_failed")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120", 120), (" 0 ", 0), ("-1", None), ("1.5", None), ("soon", None), ("9" * 40, None)],
)
def test_retry_after_in_seconds(text: str, seconds: int | None) -> None:
    wait = parse_retry_after(text)
    assert (wait and wait.total_seconds()) == (seconds or (wait and 0))
    assert (wait is None) == (seconds is None)


def test_retry_after_as_a_date() -> None:
    ahead = timezone.now() + timedelta(minutes=2)
    wait = parse_retry_after(ahead.strftime("%a, %d %b %Y %H:%M:%S GMT"))
    assert wait is not None
    assert 110 < wait.total_seconds() <= 120
    assert parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT") is None
    assert parse_retry_after("Sun, 99 Nov 1994 08:49:37 GMT") is None
