"""A stand-in for OpenAI's API, which knows what it has charged: its answers are made of the request.

A model's name says how it answers: `NAME-cached` reads 400 of its prompt from a cache, `NAME-thinks` thinks, and
`NAME-fails` answers 429. Each answer has an id of its own.
"""

import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USAGE = {"input": 1020, "output": 52}
CACHED = 400
THOUGHT = 7


def usage(model):
    """What a call of a model uses, in OpenAI's words."""
    return {
        "prompt_tokens": USAGE["input"],
        "completion_tokens": USAGE["output"],
        "total_tokens": USAGE["input"] + USAGE["output"],
        "prompt_tokens_details": {"cached_tokens": CACHED if model.endswith("-cached") else 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": THOUGHT if model.endswith("-thinks") else 0},
    }


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    ids = itertools.count(1)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        model = asked["model"]
        if model.endswith("-fails"):
            return self.answer(429, {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}})
        if self.path.endswith("/embeddings"):
            used = {"prompt_tokens": 99, "total_tokens": 99}
            data = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
            return self.answer(200, {"object": "list", "data": data, "model": model, "usage": used})
        # Beside each other in one program, so that no two processes make the same id.
        identity = f"chatcmpl-{model}-{next(self.ids)}"
        head = {"id": identity, "created": 1795212509, "model": model}
        if not asked.get("stream"):
            message = {"role": "assistant", "content": "An answer."}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return self.answer(200, {**head, "object": "chat.completion", "choices": [choice], "usage": usage(model)})
        head["object"] = "chat.completion.chunk"
        chunks = [
            {**head, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "An "}, "finish_reason": None}]},
            {**head, "choices": [{"index": 0, "delta": {"content": "answer."}, "finish_reason": "stop"}]},
        ]
        if (asked.get("stream_options") or {}).get("include_usage"):
            chunks.append({**head, "choices": [], "usage": usage(model)})
        body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        self.send(200, "text/event-stream", body.encode())

    def answer(self, status, body):
        self.send(status, "application/json", json.dumps(body).encode())

    def send(self, status, media, body):
        self.send_response(status)
        self.send_header("content-type", media)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def start():
    """Serves on a port of its own, and answers with its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/v1"
