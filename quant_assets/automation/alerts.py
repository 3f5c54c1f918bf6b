"""Messages to a person who is not looking: a webhook and e-mail, from the environment only; what failed, what to do.

A message that cannot be sent is a log line and stops nothing. No address and no password is ever said: `secrecy.hidden`
takes them out of whatever is sent or logged.
"""

import json
import os
import re
import smtplib
import ssl
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from typing import Any
from zoneinfo import ZoneInfo

from quant_assets.instance.secrecy import hidden
from quant_assets.partitions import IST
from quant_core.errors import DataError

WEBHOOK_VARIABLE, EMAIL_VARIABLE = "QUANT_ALERT_WEBHOOK", "QUANT_ALERT_EMAIL"
HOST, PORT, USER, PASSWORD, SENDER, SECURITY = (
    f"SMTP_{name}" for name in ("HOST", "PORT", "USER", "PASSWORD", "FROM", "SECURITY")
)
#: How the connection to the mail server is made safe, and the port that goes with it.
SECURITIES = {"starttls": 587, "tls": 465, "none": 25}
LONGEST = 4000
TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Alert:
    """A message.

    Args:
        title: one line: what failed, of which profile.
        found: what is known of it, a line each.
        to_do: what to do about it, a line each.
        facts: what a program may want of it (run, job, partition).
    """

    title: str
    found: tuple[str, ...] = ()
    to_do: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The whole message without a secret, of bounded length."""
        lines = [self.title, *self.found, *(["What to do:"] if self.to_do else []), *(f"- {one}" for one in self.to_do)]
        text = hidden("\n".join(lines))
        return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]} ..."


def send(alert: Alert, warn: Callable[[str], Any]) -> list[str]:
    """Send to every place that the environment names; returns those that took it.

    Args:
        warn: is told, in a line, of a place that did not. Nothing is raised: an alert fails no run.
    """
    sent = []
    for place, post in _places().items():
        try:
            post(alert)
        except Exception as failure:  # whatever a server, a proxy or a setting may bring
            warn(f"alert not sent by {place}: {hidden(_told(failure))}; see docs/operations.md, Alerts.")
        else:
            sent.append(place)
    return sent


def problems() -> list[str]:
    """What is wrong with the settings of the alerts, as far as can be said without sending."""
    return [str(error) for error in _refused()]


def configured() -> list[str]:
    """Places that alerts go to."""
    return list(_places())


def _places() -> dict[str, Callable[[Alert], None]]:
    wanted = {"webhook": (WEBHOOK_VARIABLE, post_webhook), "e-mail": (EMAIL_VARIABLE, send_email)}
    return {name: post for name, (variable, post) in wanted.items() if os.environ.get(variable)}


def _refused() -> Iterator[DataError]:
    for name, check in (("webhook", webhook_address), ("e-mail", mail_server)):
        if name in _places():
            try:
                check()
            except DataError as error:
                yield error


def _told(failure: Exception) -> str:
    return str(failure) if isinstance(failure, DataError) else f"{type(failure).__name__}: {failure}"


# ---- webhook ---------------------------------------------------------------------------------------------------------


def webhook_address() -> str:
    """QUANT_ALERT_WEBHOOK.

    Raises:
        DataError: not an http(s) address; does not repeat it.
    """
    url = os.environ.get(WEBHOOK_VARIABLE, "")
    if not re.fullmatch(r"https?://[^\s/]+\S*", url):
        raise DataError(f"{WEBHOOK_VARIABLE} is no http(s) address; correct the environment variable.")
    return url


def post_webhook(alert: Alert) -> None:
    """POST the message as JSON: `text` (what Slack, Mattermost and Teams show), `title`, `to_do` and the facts."""
    payload = {
        **alert.facts, "title": hidden(alert.title), "text": alert.text, "to_do": [hidden(one) for one in alert.to_do],
        "sent_at": datetime.now(ZoneInfo(IST)).isoformat(timespec="seconds"),
    }  # fmt: skip
    body = json.dumps(payload, default=str).encode()
    request = urllib.request.Request(webhook_address(), body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
        pass


# ---- e-mail ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MailServer:
    """Where mail is handed in."""

    host: str
    port: int
    security: str
    sender: str
    recipients: tuple[str, ...]


def mail_server() -> MailServer:
    """QUANT_ALERT_EMAIL and SMTP_*.

    Raises:
        DataError: a setting that is missing or cannot be.
    """
    recipients = tuple(part.strip() for part in os.environ.get(EMAIL_VARIABLE, "").split(",") if part.strip())
    security = (os.environ.get(SECURITY) or "starttls").lower()
    if security not in SECURITIES:
        raise DataError(f"{SECURITY}: {security!r} is unknown; set it to one of {', '.join(SECURITIES)}.")
    host, port = os.environ.get(HOST, ""), os.environ.get(PORT) or str(SECURITIES[security])
    if not host:
        raise DataError(f"{EMAIL_VARIABLE} is set and {HOST} is not; name the server that takes your mail.")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise DataError(f"{PORT}: {port!r} is no port; give a number from 1 to 65535.")
    sender = os.environ.get(SENDER) or os.environ.get(USER) or recipients[0]
    for address in (sender, *recipients):
        if not re.fullmatch(r"[^@\s]+@[^@\s]+", address):
            raise DataError(f"{EMAIL_VARIABLE}, {SENDER}: {address!r} is no address; write it as name@host.")
    if os.environ.get(PASSWORD) and security == "none" and host not in ("127.0.0.1", "localhost"):
        raise DataError(f"{SECURITY}: a password goes to {host} without encryption; set starttls or tls.")
    return MailServer(host, int(port), security, sender, recipients)


def as_mail(alert: Alert, server: MailServer) -> EmailMessage:
    """The message as an e-mail; a line break in a title would begin another header, so there is none."""
    mail = EmailMessage()
    mail["Subject"] = " ".join(hidden(alert.title).split())[:200]
    mail["From"], mail["To"] = server.sender, ", ".join(server.recipients)
    mail.set_content(alert.text)
    return mail


def send_email(alert: Alert) -> None:
    """Hand the message to the mail server."""
    server = mail_server()
    safe = ssl.create_default_context()
    kind = smtplib.SMTP_SSL if server.security == "tls" else smtplib.SMTP
    more: dict[str, Any] = {"context": safe} if server.security == "tls" else {}
    with kind(server.host, server.port, timeout=TIMEOUT_SECONDS, **more) as connection:
        if server.security == "starttls":
            connection.starttls(context=safe)
        if os.environ.get(USER) and os.environ.get(PASSWORD):
            connection.login(os.environ[USER], os.environ[PASSWORD])
        connection.send_message(as_mail(alert, server))
