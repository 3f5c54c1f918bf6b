"""Messages reach a webhook and a mailbox, say what failed and what to do, hold no secret, and stop nothing."""

import email
import email.policy
from collections.abc import Iterator

import pytest
from post_office import mail_server, webhook

from quant_assets.automation import alerts
from quant_assets.automation.alerts import LONGEST, Alert, as_mail, configured, problems, send
from quant_assets.instance.secrecy import hidden
from quant_core.errors import DataError

ALERT = Alert("nifty50: run 1a2b3c4d failed", ("raw_ohlcv: the vendor is closed",), ("wait",), {"run_id": "1a2b3c4d"})
SETTINGS = (alerts.WEBHOOK_VARIABLE, alerts.EMAIL_VARIABLE, alerts.HOST, alerts.PORT, alerts.USER, alerts.PASSWORD,
            alerts.SENDER, alerts.SECURITY)  # fmt: skip


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return


def sent(alert: Alert = ALERT) -> tuple[list[str], list[str]]:
    """Where it went, and what was warned of."""
    warned: list[str] = []
    return send(alert, warned.append), warned


def by_mail(monkeypatch: pytest.MonkeyPatch, port: int, **more: str) -> None:
    chosen = {alerts.EMAIL_VARIABLE: "a@example.org, b@example.org", alerts.HOST: "127.0.0.1", alerts.PORT: str(port),
              alerts.SECURITY: "none", **more}  # fmt: skip
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)


def test_without_a_setting_nothing_is_sent() -> None:
    assert sent() == ([], [])
    assert configured() == problems() == []


def test_the_webhook_gets_what_failed_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook() as (address, received):
        monkeypatch.setenv(alerts.WEBHOOK_VARIABLE, address)
        assert sent() == (["webhook"], [])
    (message,) = received
    assert message["text"] == f"{ALERT.title}\nraw_ohlcv: the vendor is closed\nWhat to do:\n- wait"
    assert (message["title"], message["to_do"], message["run_id"]) == (ALERT.title, ["wait"], "1a2b3c4d")


def test_the_mailbox_gets_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    with mail_server() as (port, messages, said):
        by_mail(monkeypatch, port, **{alerts.USER: "lab@example.org", alerts.PASSWORD: "pass-word-1"})
        assert sent() == (["e-mail"], [])
    (raw,) = messages
    mail = email.message_from_string(raw, policy=email.policy.default)
    assert (mail["Subject"], mail["From"]) == (ALERT.title, "lab@example.org")
    assert mail["To"] == "a@example.org, b@example.org"
    assert mail.get_content().splitlines() == ALERT.text.splitlines()
    to = {line.lower() for line in said if line.startswith("rcpt")}  # in capitals or not by Python's version
    assert to == {"rcpt to:<a@example.org>", "rcpt to:<b@example.org>"}
    assert any(line.startswith("AUTH") for line in said)


def test_a_place_that_refuses_is_a_line_without_its_address_and_the_other_still_gets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with webhook(status=500) as (address, _), mail_server() as (port, messages, _said):
        monkeypatch.setenv(alerts.WEBHOOK_VARIABLE, address)
        by_mail(monkeypatch, port)
        places, (warned,) = sent()
    assert places == ["e-mail"]
    assert len(messages) == 1
    assert "alert not sent by webhook: HTTPError: HTTP Error 500" in warned
    assert "S3CRET" not in warned


@pytest.mark.parametrize("address", ["file:///etc/passwd", "http://", "ftp://x/y", "not an address"])
def test_what_is_no_web_address_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv(alerts.WEBHOOK_VARIABLE, address)
    places, (warned,) = sent()
    assert places == []
    assert "QUANT_ALERT_WEBHOOK is no http(s) address" in warned
    assert address not in warned
    assert len(problems()) == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({alerts.HOST: ""}, "SMTP_HOST is not"),
        ({alerts.PORT: "99999"}, "SMTP_PORT: '99999' is no port"),
        ({alerts.SECURITY: "ssl"}, "SMTP_SECURITY: 'ssl' is unknown"),
        ({alerts.EMAIL_VARIABLE: "me"}, "'me' is no address"),
        ({alerts.HOST: "mail.example.org", alerts.PASSWORD: "secret-1"}, "without encryption"),
    ],
)
def test_a_mail_setting_that_cannot_be_is_named(monkeypatch: pytest.MonkeyPatch, more: dict, said: str) -> None:
    by_mail(monkeypatch, 1, **more)
    with pytest.raises(DataError) as refused:
        alerts.mail_server()
    assert said in str(refused.value)
    assert "secret-1" not in str(refused.value)
    assert sent()[0] == []


def test_no_secret_is_sent_and_a_message_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENDOR_API_KEY", "k3y-of-the-vendor")
    alert = Alert("failed", ("GET https://user:pw@vendor/x?key=k3y-of-the-vendor", "long " * 2000))
    assert alert.text.startswith("failed\nGET https://***@vendor/x?key=***\nlong")
    assert len(alert.text) == LONGEST
    assert hidden("k3y-of-the-vendor") == "***"


def test_a_line_break_in_a_title_begins_no_header(monkeypatch: pytest.MonkeyPatch) -> None:
    by_mail(monkeypatch, 1)
    mail = as_mail(Alert("failed\r\nBcc: thief@example.org"), alerts.mail_server())
    assert mail["Subject"] == "failed Bcc: thief@example.org"
    assert mail["Bcc"] is None
