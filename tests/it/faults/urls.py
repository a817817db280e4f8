"""The world inside a network namespace: a DNS server, and web servers on public-looking and private addresses.

Each connection is a line `<address that was connected to> <path>` in the log; a request for a path is answered by its
name. It ends when its standard input does.
"""

import itertools
import os
import socket
import socketserver
import struct
import sys
import threading

PUBLIC = "11.22.33.44"
LOG = open(sys.argv[1], "a", buffering=1)
BODY = bytes(range(251)) * 4177  # about a mebibyte
flips, resumes, hits = itertools.count(), itertools.count(), threading.Lock()

ZONE = {
    "good.test": [PUBLIC],
    "private.test": ["10.1.2.3"],
    "mixed.test": [PUBLIC, "10.1.2.3"],
    "loop.test": ["127.0.0.1"],
    "meta.test": ["169.254.169.254"],
    "unique.test": ["fd00::7"],
    "mapped.test": ["::ffff:10.1.2.3"],
}


def addresses(name):
    """The addresses of a name, and the name before it when there is an alias."""
    if name == "alias.test":
        return "private.test", ZONE["private.test"]
    if name == "flip.test":  # another one for each question, good for no second
        return None, [(PUBLIC, "127.0.0.1")[next(flips) // 2 % 2]]
    return None, ZONE.get(name, [])


def dns_name(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


class Dns(socketserver.DatagramRequestHandler):
    def handle(self):
        asked = self.rfile.read()
        at, labels = 12, []
        while asked[at]:
            labels.append(asked[at + 1 : at + 1 + asked[at]].decode("latin-1"))
            at += 1 + asked[at]
        kind = struct.unpack(">H", asked[at + 1 : at + 3])[0]
        name = ".".join(labels).lower()
        alias, found = addresses(name) if kind in (1, 28) else (None, [])
        records, owner = [], dns_name(name)
        if alias:
            target = dns_name(alias)
            records.append(owner + struct.pack(">HHIH", 5, 1, 0, len(target)) + target)
            owner = target
        for address in found:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            if (kind == 28) == (family == socket.AF_INET6):
                data = socket.inet_pton(family, address)
                records.append(owner + struct.pack(">HHIH", kind, 1, 0, len(data)) + data)
        code = 0x8180 if name in ZONE or name in ("alias.test", "flip.test") else 0x8183
        head = asked[:2] + struct.pack(">HHHHH", code, 1, len(records), 0, 0)
        self.wfile.write(head + asked[12 : at + 5] + b"".join(records))


class Web(socketserver.StreamRequestHandler):
    timeout = 20

    def handle(self):
        here = self.connection.getsockname()[0].removeprefix("::ffff:")
        LOG.write(f"{here} connected\n")
        while True:
            line = self.rfile.readline(65536).decode("latin-1")
            if not line.strip():
                return
            path, headers = line.split(" ")[1], {}
            while (field := self.rfile.readline(65536).decode("latin-1").strip()):
                name, _, value = field.partition(": ")
                headers[name.lower()] = value
            LOG.write(f"{here} {path}\n")
            if not self.answer(path, headers):
                return

    def say(self, status, fields, body):
        head = f"HTTP/1.1 {status} Status\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields.items())
        self.wfile.write(head.encode("latin-1") + f"content-length: {len(body)}\r\n\r\n".encode() + body)
        return True

    def answer(self, path, headers):
        hop = lambda to: self.say(302, {"location": to}, b"")
        if path == "/hop1":
            return hop("http://private.test/file")
        if path == "/hop2":
            return hop("/hop1")
        if path == "/hop3":
            return hop("http://good.test/hop2")
        if path.startswith("/to/"):
            return hop(bytes.fromhex(path[4:]).decode())
        if path == "/status500":
            return self.say(500, {}, b"SECRET of 10.1.2.3")
        if path == "/silent":
            threading.Event().wait(10)
            return False
        fields = {"etag": '"v1"'}
        if path == "/named":
            fields["content-disposition"] = 'attachment; filename="../../evil"; filename*=UTF-8\'\'%2e%2e%2fevil'
        first, last = 0, len(BODY) - 1
        ranged = headers.get("range", "").removeprefix("bytes=").split("-")
        if len(ranged) == 2:
            first, last = int(ranged[0]), min(int(ranged[1]), last)
        if path == "/resumed" and last > first:
            with hits:
                number = next(resumes)
            if number > 0:  # only what goes on is sent elsewhere
                return hop("http://private.test/file")
            fields["content-range"] = f"bytes {first}-{last}/{len(BODY)}"
            head = "".join(f"{n}: {v}\r\n" for n, v in fields.items())
            head = f"HTTP/1.1 206 Part\r\n{head}content-length: {last - first + 1}\r\n\r\n"
            self.wfile.write(head.encode() + BODY[first : first + 300_000])
            return False
        fields["content-range"] = f"bytes {first}-{last}/{len(BODY)}"
        return self.say(206, fields, BODY[first : last + 1])


class WebServer(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 128
    address_family = socket.AF_INET6

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, request, client_address):
        pass


dns = socketserver.ThreadingUDPServer(("11.22.33.53", 53), Dns)
web = WebServer(("::", 80), Web)
for server in (dns, web):
    threading.Thread(target=server.serve_forever, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
os._exit(0)
