"""Servers on loopback that take what the lab sends: a webhook, and a mail server with as much SMTP as is needed."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


@contextmanager
def webhook(status: int = 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(address, what was posted to it) of a server that answers everything with `status`."""
    received: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with _serving(HTTPServer(("127.0.0.1", 0), Hook)) as port:
        yield f"http://127.0.0.1:{port}/hook/T0P-S3CRET", received


@contextmanager
def mail_server() -> Iterator[tuple[int, list[str], list[str]]]:
    """(port, messages, everything else that was said) of a server without encryption that asks for no login."""
    messages: list[str] = []
    said: list[str] = []

    class Session(socketserver.StreamRequestHandler):
        def _answer(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def handle(self) -> None:
            self._answer("220 test")
            for raw in self.rfile:
                line = raw.decode().strip()
                said.append(line)
                if line.upper().startswith("EHLO"):
                    self._answer("250-test")
                    self._answer("250 AUTH PLAIN")
                elif line.upper() == "DATA":
                    self._answer("354 go on")
                    messages.append(self._message())
                    self._answer("250 taken")
                elif line.upper() == "QUIT":
                    self._answer("221 bye")
                    return
                else:
                    self._answer("235 in" if line.upper().startswith("AUTH") else "250 fine")

        def _message(self) -> str:
            lines = []
            for raw in self.rfile:
                if raw == b".\r\n":
                    break
                lines.append(raw.decode())
            return "".join(lines)

    with _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session)) as port:
        yield port, messages, said


@contextmanager
def _serving(server: socketserver.TCPServer) -> Iterator[int]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
