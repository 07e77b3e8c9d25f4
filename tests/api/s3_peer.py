"""A real S3 server behind a proxy that checks every signature with botocore's own signer and makes faults on demand.

Runs under a Python that has boto3 (and moto, unless LATHE_TEST_S3_GATEWAY names versitygw). Speaks JSON lines: a request
{"op": …} on standard input, an answer on standard output. boto3 talks to the server itself, Lathe to the proxy."""
import base64
import hashlib
import http.client
import http.server
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import boto3
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

KEY, SECRET, REGION = "LATHETESTKEY", "a/secret+that=is/long", "us-east-1"
BACKEND_READ_S = 120


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_server():
    """The S3 server: its port, and what ends it."""
    gateway = os.environ.get("LATHE_TEST_S3_GATEWAY")
    if not gateway:
        import logging
        from moto.server import ThreadedMotoServer
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        return server.get_host_and_port()[1], server.stop
    folder, port = tempfile.TemporaryDirectory(prefix="lathe-s3-"), free_port()
    process = subprocess.Popen([gateway, "--port", f"127.0.0.1:{port}", "posix", folder.name], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL,
                               env={**os.environ, "ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET})
    def stop():
        process.kill()
        process.wait()
        folder.cleanup()
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return port, stop
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the gateway does not start")


class Faults:
    """What the next requests that fit get instead of an answer."""

    def __init__(self):
        self.lock = threading.Lock()
        self.rules, self.log, self.wrong = [], [], []
        self.away = False

    def take(self, method, path):
        with self.lock:
            for rule in self.rules:
                if rule["times"] > 0 and method in rule.get("methods", [method]) and rule.get("path", "") in path:
                    rule["times"] -= 1
                    return rule
        return None


FAULTS = Faults()


def signature_is_right(method, path, headers, body):
    """Why it is not; "" if it is."""
    auth = headers.get("authorization", "")
    if not auth:
        plain, _, signature = path.partition("&X-Amz-Signature=")
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(plain).query))
        if not signature:
            return "no signature"
        if asked["X-Amz-Credential"].split("/")[0] != KEY:
            return "another key"
        request = AWSRequest(method=method, url=f"http://{headers['host']}{plain}", headers={"host": headers["host"]})
        request.context["timestamp"] = asked["X-Amz-Date"]
        signer = S3SigV4QueryAuth(Credentials(KEY, SECRET), "s3", REGION)
        text = signer.string_to_sign(request, signer.canonical_request(request))
        return "" if signer.signature(text, request) == signature else "the signature of the URL is wrong"
    fields = dict(f.strip().split("=", 1) for f in auth.removeprefix("AWS4-HMAC-SHA256 ").split(","))
    if fields["Credential"].split("/")[0] != KEY:
        return "another key"
    names = fields["SignedHeaders"].split(";")
    missing = {"host", "x-amz-date", "x-amz-content-sha256"} - set(names)
    if missing:
        return f"not signed: {missing}"
    if hashlib.sha256(body).hexdigest() != headers["x-amz-content-sha256"]:
        return "the payload is not what was signed"
    request = AWSRequest(method=method, url=f"http://{headers['host']}{path}", headers={n: headers[n] for n in names})
    request.context["timestamp"] = headers["x-amz-date"]
    signer = S3SigV4Auth(Credentials(KEY, SECRET), "s3", REGION)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    return "" if signer.signature(text, request) == fields["Signature"] else "the signature is wrong"


class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def log_message(self, *args):
        pass

    def reset(self):
        """RST, not FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def error(self, status, code, headers=(), extra=""):
        body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>made by the test</Message>{extra}</Error>'.encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def serve(self):
        if FAULTS.away:
            return self.reset()
        headers = {n.lower(): v for n, v in self.headers.items()}
        rule = FAULTS.take(self.command, self.path)
        kind = rule and rule["kind"]
        length = int(headers.get("content-length", 0))
        if kind == "reset-upload":
            self.rfile.read(min(length, 64 << 10))
            FAULTS.log.append([self.command, self.path, "reset"])
            return self.reset()
        if kind == "slow-upload":
            time.sleep(rule["seconds"])
        body = self.rfile.read(length)
        if len(body) < length:  # the client was killed in the middle
            return self.reset()
        wrong = signature_is_right(self.command, self.path, headers, body)
        with FAULTS.lock:
            FAULTS.log.append([self.command, self.path, kind or "", headers.get("range", ""), len(body)])
            if wrong:
                FAULTS.wrong.append([self.command, self.path, wrong])
        if kind == "status":
            return self.error(rule["status"], rule["code"], [tuple(h) for h in rule.get("headers", [])], rule.get("extra", ""))
        upstream = http.client.HTTPConnection("127.0.0.1", BACKEND, timeout=BACKEND_READ_S)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    upstream.putheader(name, value)
            upstream.endheaders(body if body or self.command in ("PUT", "POST") else None)
            answer = upstream.getresponse()
            data = answer.read()
            if kind == "lost-answer":  # it was done, and nobody hears of it
                return self.reset()
            self.send_response(answer.status)
            known = {n.lower() for n, _ in answer.getheaders()}
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            told = answer.getheader("content-length") if self.command == "HEAD" else str(len(data))
            if told is not None and not (self.command == "HEAD" and "content-length" not in known):
                self.send_header("Content-Length", told)
            self.end_headers()
            if self.command == "HEAD":
                return None
            if kind == "corrupt" and data:
                data = bytes([data[0] ^ 1]) + data[1:]
            if kind in ("reset-download", "truncate"):
                self.wfile.write(data[:len(data) // 2])
                self.wfile.flush()
                if kind == "reset-download":
                    return self.reset()
                self.close_connection = True
                return None
            self.wfile.write(data)
            self.wfile.flush()
        finally:
            upstream.close()
        return None

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = serve


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):  # a peer that was killed
        pass


def operations(s3, proxy):
    def put(bucket, key, data):
        s3.put_object(Bucket=bucket, Key=key, Body=base64.b64decode(data))

    def get(bucket, key):
        try:
            return base64.b64encode(s3.get_object(Bucket=bucket, Key=key)["Body"].read()).decode()
        except ClientError as e:
            if e.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None
            raise

    def keys(bucket, prefix=""):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return {o["Key"]: o["Size"] for page in pages for o in page.get("Contents", [])}

    def uploads(bucket):
        return [u["Key"] for u in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]

    def put_in_parts(bucket, key, data, part=5 << 20):
        data = base64.b64decode(data)
        id = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        parts = [{"PartNumber": n + 1, "ETag": s3.upload_part(Bucket=bucket, Key=key, UploadId=id, PartNumber=n + 1,
                  Body=data[n * part:(n + 1) * part])["ETag"]} for n in range((len(data) + part - 1) // part)]
        s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=id, MultipartUpload={"Parts": parts})

    def fault(**rule):
        FAULTS.rules.append({"times": 1, **rule})

    def calm():
        FAULTS.rules.clear()

    def log():
        with FAULTS.lock:
            out, FAULTS.log = FAULTS.log, []
            return out

    return {
        "bucket": lambda name: s3.create_bucket(Bucket=name) and None, "put": put, "get": get, "keys": keys, "uploads": uploads,
        "delete": lambda bucket, key: s3.delete_object(Bucket=bucket, Key=key) and None, "put_in_parts": put_in_parts,
        "fault": fault, "calm": calm, "log": log, "wrong": lambda: FAULTS.wrong, "down": proxy.down, "up": proxy.up,
    }


class Switch:
    """The proxy, which can be taken away and come back under the same address."""

    def __init__(self):
        self.port = free_port()
        self.server = None
        self.up()

    def up(self):
        FAULTS.away = False
        self.server = Server(("127.0.0.1", self.port), Proxy)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def down(self):
        FAULTS.away = True  # also for connections that are open
        self.server.shutdown()
        self.server.server_close()


if __name__ == "__main__":
    BACKEND, stop = start_server()
    switch = Switch()
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{BACKEND}", aws_access_key_id=KEY, aws_secret_access_key=SECRET,
                          region_name=REGION, config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}))
    known = operations(client, switch)
    print(json.dumps({"proxy": f"http://127.0.0.1:{switch.port}", "server": f"http://127.0.0.1:{BACKEND}", "key": KEY,
                      "secret": SECRET}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"answer": known[request.pop("op")](**request)}
        except Exception as e:  # told to the test
            answer = {"error": repr(e)}
        print(json.dumps(answer), flush=True)
    stop()
    os._exit(0)
