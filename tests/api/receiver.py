"""A real HTTP receiver of webhooks: keeps what it was sent, and answers as it is told."""
import http.server
import json
import threading
import time

from mlflow.webhooks.delivery import _generate_hmac_signature  # upstream's own computation judges ours


class Receiver:
    def __init__(self):
        self.requests = []  # (path, headers, body text)
        self.answers = []  # (status, headers) in turn; then 200
        self.hold = None  # an Event that answers wait for
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                receiver.requests.append((self.path, dict(self.headers), body))
                if receiver.hold:
                    receiver.hold.wait(30)
                status, headers = receiver.answers.pop(0) if receiver.answers else (200, {})
                self.send_response(status)
                for name, value in {"Content-Length": "2", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        if self.hold:
            self.hold.set()
        self.server.shutdown()
        self.server.server_close()

    def wait(self, count, seconds=20):
        until = time.monotonic() + seconds
        while len(self.requests) < count:
            assert time.monotonic() < until, f"{len(self.requests)} of {count} came: {self.requests}"
            time.sleep(0.01)
        return self.requests

    def bodies(self):
        return [json.loads(body) for _, _, body in self.requests]


def signature_is_good(headers, body, secret):
    wanted = _generate_hmac_signature(secret, headers["X-MLflow-Delivery-Id"], headers["X-MLflow-Timestamp"], body)
    return headers["X-MLflow-Signature"] == wanted and abs(time.time() - int(headers["X-MLflow-Timestamp"])) < 60
