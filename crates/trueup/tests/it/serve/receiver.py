"""A receiver of pushed batches that is not ours: Python's HTTP server, and a folder.

receiver.py FOLDER [PORT] prints its port. Each request is kept in FOLDER as NNNN.body and NNNN.json, in the order
of arrival. How it answers stands in FOLDER/mode, JSON, read anew for each request:

status, headers, body   what it answers with
first                   so many requests, from the first on, get it; those after get 200
bytes_max               413 for a longer body
poison                  400 for a body that holds this text
unread                  415 for a body in this encoding
delay                   seconds before it answers
"""

import gzip
import json
import pathlib
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

folder = pathlib.Path(sys.argv[1])
lock = threading.Lock()
seen = len(list(folder.glob("*.json")))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        global seen
        length = int(self.headers["content-length"])
        raw = self.rfile.read(length)
        if len(raw) < length:  # whoever sent it is gone: it never arrived
            self.close_connection = True
            return
        with lock:
            number = seen
            seen += 1
        mode = json.loads((folder / "mode").read_text())
        status, headers, reply = self.answer(mode, number, raw)
        (folder / f"{number:04}.body").write_bytes(raw)
        kept = {"status": status, "path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}
        part = folder / f"{number:04}.part"
        part.write_text(json.dumps(kept))
        part.rename(folder / f"{number:04}.json")
        time.sleep(mode.get("delay", 0))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def answer(self, mode, number, raw):
        encoding = self.headers.get("content-encoding", "identity")
        if encoding == mode.get("unread"):
            return 415, {}, b""
        text = gzip.decompress(raw) if encoding == "gzip" else raw
        if len(text) > mode.get("bytes_max", len(text)):
            return 413, {}, b""
        if "poison" in mode and mode["poison"].encode() in text:
            return 400, {}, b"poisoned"
        if number >= mode.get("first", number + 1):
            return 200, {}, b""
        return mode.get("status", 200), mode.get("headers", {}), mode.get("body", "").encode()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


server = Server(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
