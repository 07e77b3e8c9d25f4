"""S3 as the home of blobs: a real S3 server, judged by boto3, behind a proxy that checks each signature with botocore's
signer and makes faults. LATHE_TEST_S3_GATEWAY=…/versitygw runs the same against another server."""
import base64
import concurrent.futures
import hashlib
import http.server
import json
import os
import pathlib
import random
import shutil
import subprocess
import threading
import time
from http.server import ThreadingHTTPServer

import pytest

from lathe_server import BINARY, ROOT, clean_environment

PYTHON = ROOT / ".venv-s3/bin/python"
pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="boto3 and its server are not installed; ./dev test installs them")

MIB = 1 << 20


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def noise(size, seed=0):
    return random.Random(seed).randbytes(size)


def key_of(data, prefix="lathe"):
    digest = sha256(data)
    return f"{prefix}/sha256/{digest[:2]}/{digest[2:]}"


class Peer:
    """The S3 server and its proxy, in a process of their own."""

    def __init__(self):
        self.process = subprocess.Popen([PYTHON, pathlib.Path(__file__).with_name("s3_peer.py")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env=clean_environment())
        self.lock = threading.Lock()
        self.told = json.loads(self.process.stdout.readline())

    def __call__(self, op, **args):
        with self.lock:
            self.process.stdin.write(json.dumps({"op": op, **args}) + "\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer
        return answer["answer"]

    def stop(self):
        self.process.stdin.close()
        self.process.wait(30)

    def env(self, **more):
        return {"AWS_ACCESS_KEY_ID": self.told["key"], "AWS_SECRET_ACCESS_KEY": self.told["secret"],
                "AWS_ENDPOINT_URL_S3": self.told["proxy"], "AWS_REGION": "us-east-1", **more}


@pytest.fixture(scope="module")
def peer():
    peer = Peer()
    yield peer
    wrong = peer("wrong")
    peer.stop()
    assert wrong == [], "signatures that botocore does not make"


class Bucket:
    """A bucket of the test's own."""
    count = 0

    def __init__(self, peer):
        Bucket.count += 1
        self.peer, self.name = peer, f"lathe-test-{Bucket.count}"
        peer("bucket", name=self.name)
        self.place = f"s3://{self.name}/lathe"

    def blobs(self):
        return self.peer("keys", bucket=self.name, prefix="lathe/sha256/")

    def get(self, key):
        data = self.peer("get", bucket=self.name, key=key)
        return None if data is None else base64.b64decode(data)

    def put(self, key, data, op="put"):
        self.peer(op, bucket=self.name, key=key, data=base64.b64encode(data).decode())

    def delete(self, key):
        self.peer("delete", bucket=self.name, key=key)

    def uploads(self):
        return self.peer("uploads", bucket=self.name)

    def fault(self, **rule):
        self.peer("fault", **rule)

    def requests(self, method=None):
        return [r for r in self.peer("log") if method in (None, r[0])]


@pytest.fixture
def bucket(peer):
    yield Bucket(peer)
    peer("calm")


@pytest.fixture
def server(start_server, bucket):
    return start_server("--blobs", bucket.place, env=bucket.peer.env())


def put(server, http, data):
    return http.put(server.api(f"/blobs/{sha256(data)}"), data=data, timeout=120)


def get(server, http, data):
    return http.get(server.api(f"/blobs/{sha256(data)}"), timeout=120)


def empty_cache(server):
    shutil.rmtree(server.dir / "blobs", ignore_errors=True)


def restart(server, cache=True):
    server.stop()
    if not cache:
        empty_cache(server)
    server.start()


# --- bytes ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("data", [b"", b"abc", noise(9 * MIB), noise(40 * MIB)], ids=["empty", "small", "single", "parts"])
def test_boto3_reads_what_we_wrote_and_we_read_what_boto3_wrote(server, bucket, http, data):
    stored = put(server, http, data)
    assert stored.status_code == 201, stored.text
    assert stored.json() == {"sha256": sha256(data), "md5": hashlib.md5(data).hexdigest(), "size": len(data)}
    assert bucket.get(key_of(data)) == data
    assert bucket.uploads() == []
    bucket.delete(key_of(data))
    bucket.put(key_of(data), data, "put_in_parts" if len(data) > 5 * MIB else "put")
    restart(server, cache=False)
    assert get(server, http, data).content == data
    bucket.requests()
    assert get(server, http, data).content == data
    assert bucket.requests() == [], "the second time from the cache"


def test_the_same_bytes_are_sent_once(server, bucket, http):
    small, large = b"again", noise(12 * MIB, 1)
    for data in (small, large):
        assert put(server, http, data).status_code == 201
    bucket.requests()
    for data in (small, large):
        assert put(server, http, data).status_code == 201
    asked = bucket.requests()
    assert [r[0] for r in asked] == ["PUT", "HEAD", "HEAD"], "a small one is put if absent, a large one asked for"
    assert len(bucket.blobs()) == 2


def test_a_blob_beyond_the_cache_streams_and_ranges_are_served(start_server, bucket, http):
    server = start_server("--blobs", bucket.place, "--s3-cache-mib", "1", env=bucket.peer.env())
    data = noise(20 * MIB, 2)
    run = http.post(f"{server.url}/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}).json()["run"]["info"]
    url = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{run['artifact_uri'].removeprefix('mlflow-artifacts:/')}/big.bin"
    assert http.put(url, data=data).status_code == 200
    assert http.get(url).content == data
    part = http.get(url, headers={"Range": f"bytes={9 * MIB}-{10 * MIB - 1}"})
    assert (part.status_code, part.content) == (206, data[9 * MIB:10 * MIB])
    cached = sum(f.stat().st_size for f in (server.dir / "blobs").rglob("*") if f.is_file())
    assert cached <= MIB, "nothing of it stays here"


def test_the_cache_keeps_to_its_budget_and_fetches_once(start_server, bucket, http):
    server = start_server("--blobs", bucket.place, "--s3-cache-mib", "2", env=bucket.peer.env())
    blobs = [noise(600_000, i) for i in range(6)]
    for data in blobs:
        assert put(server, http, data).status_code == 201
    cache = server.dir / "blobs" / "s3" / "cache"
    assert sum(f.stat().st_size for f in cache.rglob("*") if f.is_file()) <= 2 * MIB
    assert [get(server, http, data).content == data for data in blobs] == [True] * 6
    restart(server, cache=False)
    bucket.requests()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: get(server, http, blobs[0]).content, range(8)))
    assert answers == [blobs[0]] * 8
    assert len([r for r in bucket.requests("GET") if key_of(blobs[0]) in r[1]]) == 1


def test_a_damaged_cache_file_is_fetched_anew(server, bucket, http):
    data = noise(100_000, 3)
    put(server, http, data)
    server.stop()
    file = server.dir / "blobs/s3/cache" / sha256(data)[:2] / sha256(data)[2:]
    file.chmod(0o644)
    file.write_bytes(data[:-1] + b"x")
    server.start()
    assert get(server, http, data).content == data


# --- faults ---------------------------------------------------------------------------------------------------------

SLOW_DOWN = {"kind": "status", "status": 503, "code": "SlowDown"}


@pytest.mark.parametrize("rule", [
    {**SLOW_DOWN, "times": 3}, {"kind": "status", "status": 500, "code": "InternalError", "times": 2},
    {"kind": "status", "status": 400, "code": "RequestTimeout"}, {"kind": "status", "status": 429, "code": "TooManyRequests"},
    {"kind": "status", "status": 400, "code": "XAmzContentSHA256Mismatch"},
    {"kind": "status", "status": 409, "code": "ConditionalRequestConflict"},
    {"kind": "reset-upload", "times": 2}, {"kind": "lost-answer"}, {"kind": "slow-upload", "seconds": 1},
], ids=lambda r: f"{r['kind']}-{r.get('code', '')}")
@pytest.mark.parametrize("size", [1_000, 33 * MIB], ids=["single", "parts"])
def test_uploads_outlive_faults(server, bucket, http, rule, size):
    data = noise(size, 4)
    bucket.fault(methods=["PUT"], **rule)
    stored = put(server, http, data)
    assert stored.status_code == 201, stored.text
    assert bucket.get(key_of(data)) == data
    assert bucket.uploads() == []


@pytest.mark.parametrize("kind", ["reset-download", "truncate", "corrupt"])
def test_downloads_outlive_faults_or_say_so(server, bucket, http, kind):
    data = noise(3 * MIB, 5)
    put(server, http, data)
    restart(server, cache=False)
    bucket.requests()
    bucket.fault(kind=kind, methods=["GET"], path="sha256/", times=2)
    first = get(server, http, data)
    if kind == "corrupt":  # never handed out, never kept
        assert first.status_code == 500 and "damaged" in first.text
        bucket.peer("calm")
        assert get(server, http, data).content == data
        return
    assert first.content == data
    ranges = [r[3] for r in bucket.requests("GET") if "sha256/" in r[1]]
    assert ranges[0] == "" and ranges[1].startswith("bytes=") and ranges[1] != "bytes=0-", "it goes on where it broke off"


def test_a_server_that_says_when_is_obeyed(server, bucket, http):
    bucket.fault(**SLOW_DOWN, methods=["PUT"], headers=[["Retry-After", "2"]])
    begun = time.monotonic()
    assert put(server, http, b"patience").status_code == 201
    assert time.monotonic() - begun >= 2


def test_a_clock_that_is_off_is_corrected(server, bucket, http):
    there = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3))
    bucket.fault(kind="status", status=403, code="RequestTimeTooSkewed", methods=["PUT"], extra=f"<ServerTime>{there}</ServerTime>")
    assert put(server, http, b"late").status_code == 201


@pytest.mark.parametrize("status,code,extra,told", [
    (403, "AccessDenied", "", "AccessDenied"),
    (301, "PermanentRedirect", "<Region>eu-west-3</Region>", "set s3_region: eu-west-3"),
    (400, "AuthorizationHeaderMalformed", "<Region>eu-west-3</Region>", "set s3_region: eu-west-3"),
    (404, "NoSuchBucket", "", "there is no bucket"),
])
def test_what_an_operator_must_see_to_is_said_at_once(server, bucket, http, status, code, extra, told):
    bucket.requests()
    bucket.fault(kind="status", status=status, code=code, extra=extra, methods=["PUT"], times=9)
    refused = put(server, http, b"refused")
    assert refused.status_code == 503 and told in refused.text, refused.text
    assert len(bucket.requests("PUT")) == 1, "asking again would not help"


def test_a_failed_multipart_upload_leaves_nothing(server, bucket, http):
    data = noise(33 * MIB, 6)
    bucket.fault(kind="status", status=403, code="AccessDenied", methods=["PUT"], path="partNumber=2")
    assert put(server, http, data).status_code == 503
    assert bucket.blobs() == {} and bucket.uploads() == []
    assert put(server, http, data).status_code == 201


def test_an_error_under_status_200_at_the_end_of_an_upload_is_an_error(server, bucket, http):
    data = noise(33 * MIB, 7)
    bucket.fault(kind="status", status=200, code="InternalError", methods=["POST"], path="uploadId=")
    assert put(server, http, data).status_code == 503
    assert bucket.blobs() == {} and bucket.uploads() == []
    bucket.fault(kind="lost-answer", methods=["POST"], path="uploadId=")
    assert put(server, http, data).status_code == 201, "done, though the answer was lost"
    assert bucket.get(key_of(data)) == data


def test_without_its_bucket_the_server_says_so_starts_and_recovers(server, bucket, http):
    kept, other = noise(2_000, 8), b"other"
    put(server, http, kept)
    bucket.peer("down")
    try:
        refused = put(server, http, other)
        assert refused.status_code == 503 and "S3" in refused.text
        assert get(server, http, kept).content == kept, "what is cached is served"
        restart(server)
        assert get(server, http, kept).content == kept
        doctor = server.cli("doctor", "--dir", server.dir, "--blobs", bucket.place, env=bucket.peer.env())
        assert doctor.returncode == 1 and "blob store" in doctor.stdout
    finally:
        bucket.peer("up")
    assert put(server, http, other).status_code == 201
    doctor = server.cli("doctor", "--dir", server.dir, "--blobs", bucket.place, env=bucket.peer.env())
    assert f"{bucket.place} at {bucket.peer.told['proxy']}" in doctor.stdout


def test_a_server_killed_in_the_middle_of_an_upload(server, bucket, http):
    data = noise(40 * MIB, 9)
    bucket.fault(kind="slow-upload", seconds=3, methods=["PUT"], path="partNumber=3", times=1)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(lambda: put(server, http, data))
        until = time.monotonic() + 60
        while not bucket.uploads():
            assert time.monotonic() < until
            time.sleep(0.05)
        server.kill()
        with pytest.raises(Exception):
            answer.result()
    assert bucket.blobs() == {}, "half a blob is none"
    server.start()
    assert get(server, http, data).status_code == 404
    assert put(server, http, data).status_code == 201
    assert bucket.get(key_of(data)) == data
    assert list((server.dir / "blobs/s3/tmp").iterdir()) == [], "no leftovers here"


# --- uploads whose parts clients bring to the bucket themselves --------------------------------------------------------

CLIENT = """
import pathlib, sys, mlflow
source, out = map(pathlib.Path, sys.argv[1:])
with mlflow.start_run() as run:
    mlflow.log_artifact(str(source), "deep/er")
    mlflow.log_artifact(str(source))
for path in ("deep/er/" + source.name, source.name):
    got = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=path, dst_path=str(out))
    assert pathlib.Path(got).read_bytes() == source.read_bytes(), path
"""


@pytest.mark.parametrize("venv", [".venv", ".venv-mlflow312"])
def test_the_stock_client_puts_its_parts_into_the_bucket(server, bucket, tmp_path, venv):
    source, out, data = tmp_path / "b\u00efg file.bin", tmp_path / "out", noise(12 * MIB, 21)
    source.write_bytes(data)
    out.mkdir()
    bucket.requests()
    done = subprocess.run([ROOT / venv / "bin/python", "-c", CLIENT, source, out], capture_output=True, text=True, timeout=300,
                          env=clean_environment() | {
                              "MLFLOW_TRACKING_URI": server.url, "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",
                              "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": str(6 * MIB),
                              "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": str(5 * MIB)})
    assert done.returncode == 0, done.stderr[-3000:]
    asked = bucket.requests("PUT")
    parts = [r for r in asked if "partNumber=" in r[1] and "X-Amz-Signature=" in r[1]]
    assert [r[4] for r in parts].count(5 * MIB) == 4 and len(parts) == 6, "both files' parts, signed for anybody"
    assert sum(r[4] for r in asked if r not in parts) < MIB, "no byte of them came through the server"
    assert set(bucket.blobs()) == {key_of(data)} and bucket.get(key_of(data)) == data
    assert bucket.uploads() == [] and bucket.peer("keys", bucket=bucket.name, prefix="lathe/incoming/") == {}


class PartsOf:
    """An upload of the proxy's own calls."""

    def __init__(self, server, http, parts, name="f.bin"):
        self.url, self.http, self.name = f"{server.url}/api/2.0/mlflow-artifacts", http, name
        made = self.call("create", num_parts=parts)
        assert made.status_code == 200, made.text
        self.id, self.urls = made.json()["upload_id"], [c["url"] for c in made.json()["credentials"]]
        assert all(c["headers"] == {} for c in made.json()["credentials"])

    def call(self, act, **body):
        return self.http.post(f"{self.url}/mpu/{act}/0/x/artifacts", json={"path": self.name, **body}, timeout=120)

    def put(self, *parts):
        return [{"part_number": n + 1, "etag": self.http.put(self.urls[n], data=data, timeout=60).headers["ETag"]}
                for n, data in enumerate(parts)]

    def end(self, act, **body):
        return self.call(act, upload_id=self.id, **body)

    def file(self):
        return self.http.get(f"{self.url}/artifacts/0/x/artifacts/{self.name}", timeout=60)


def nothing_left(bucket):
    return bucket.uploads() == [] and bucket.peer("keys", bucket=bucket.name, prefix="lathe/incoming/") == {}


def test_an_upload_of_parts_is_a_file_when_it_is_whole_or_not_at_all(server, bucket, http):
    first, second = noise(5 * MIB, 22), noise(1000, 23)
    upload = PartsOf(server, http, 2)
    told = upload.put(first, second)
    assert upload.file().status_code == 404 and bucket.blobs() == {}
    refused = upload.end("complete", parts=told[:1])
    assert refused.status_code == 400 and "part 2 of 2" in refused.json()["message"]
    wrong = upload.end("complete", parts=[told[0], {**told[1], "etag": '"0123456789abcdef0123456789abcdef"'}])
    assert wrong.status_code == 400 and "InvalidPart" in wrong.json()["message"], wrong.text
    through = http.put(f"{upload.url}/mpu/parts/{upload.id}/1", data=b"x", timeout=10)
    assert through.status_code == 400 and "bucket" in through.json()["message"]
    assert upload.file().status_code == 404 and bucket.blobs() == {}
    assert upload.end("complete", parts=told).status_code == 200
    assert upload.file().content == first + second
    assert set(bucket.blobs()) == {key_of(first + second)} and nothing_left(bucket)
    assert upload.end("complete", parts=told).status_code == 404

    dropped = PartsOf(server, http, 2, "dropped.bin")
    dropped.put(first)
    assert dropped.end("abort").status_code == 200
    assert nothing_left(bucket) and dropped.file().status_code == 404
    assert dropped.end("abort").status_code == 404
    assert http.put(dropped.urls[1], data=second, timeout=60).status_code >= 400

    small = PartsOf(server, http, 2, "small.bin")
    told = small.put(b"too small for", b" a part")
    refused = small.end("complete", parts=told)
    assert refused.status_code == 400 and "EntityTooSmall" in refused.json()["message"], refused.text
    assert small.end("abort").status_code == 200 and nothing_left(bucket)


def test_an_upload_of_parts_goes_on_after_a_failure(server, bucket, http):
    data = noise(6 * MIB, 24)
    upload = PartsOf(server, http, 1)
    told = upload.put(data)
    bucket.fault(kind="status", methods=["PUT"], path="/sha256/", status=403, code="AccessDenied")  # of the copy
    failed = upload.end("complete", parts=told)
    assert failed.status_code == 503 and upload.file().status_code == 404 and bucket.blobs() == {}
    restart(server, cache=False)
    upload.url = f"{server.url}/api/2.0/mlflow-artifacts"
    assert upload.end("complete", parts=told).status_code == 200
    assert upload.file().content == data and nothing_left(bucket)
    # What a crash left between its copy and its row: the name is what it is, nothing refers to it.
    again = PartsOf(server, http, 1, "g.bin")
    told = again.put(data)
    bucket.fault(kind="lost-answer", methods=["POST"], path="/incoming/")
    assert again.end("complete", parts=told).status_code == 200
    assert again.file().content == data and nothing_left(bucket)


# --- garbage, checks, backups, moving -------------------------------------------------------------------------------

def log_run(server, http, files):
    run = http.post(f"{server.url}/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}).json()["run"]["info"]
    folder = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
    for name, data in files.items():
        assert http.put(f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{folder}/{name}", data=data).status_code == 200
    return f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{folder}"


def test_garbage_goes_from_the_bucket_and_what_is_used_stays(server, bucket, http):
    kept, asked, dropped = noise(3_000, 10), b"asked for", b"dropped"
    log_run(server, http, {"kept.bin": kept})
    put(server, http, dropped), put(server, http, asked)
    assert set(bucket.blobs()) == {key_of(d) for d in (kept, asked, dropped)}
    gc = server.cli("gc", "--grace-hours", "24", check=True)
    assert len(bucket.blobs()) == 3, "their grace period has begun"
    assert http.post(server.api("/blobs/missing"), json={"digests": [sha256(asked)]}).json() == {"missing": []}
    time.sleep(1.1)  # S3 tells whole seconds
    gc = server.cli("gc", "--grace-hours", "0", check=True)
    assert "2 files removed" in gc.stdout, gc.stdout
    assert set(bucket.blobs()) == {key_of(kept)}
    assert get(server, http, dropped).status_code == 404
    assert put(server, http, dropped).status_code == 201, "and may come back"
    assert key_of(dropped) in bucket.blobs()


def test_what_was_asked_for_is_not_collected_even_after_a_restart(server, bucket, http):
    put(server, http, b"wanted"), put(server, http, b"unwanted")
    server.cli("gc", "--grace-hours", "0")
    time.sleep(2.1)
    put(server, http, b"wanted")
    server.kill()
    server.start()
    server.cli("gc", "--grace-hours", str(1.5 / 3600), check=True)
    assert key_of(b"wanted") in bucket.blobs(), "uploaded again a moment ago, whatever S3 says of its age"


def test_fsck_reads_the_bucket_and_names_what_is_wrong(server, bucket, http):
    good, bad, lost = noise(10_000, 11), noise(10_000, 12), noise(10_000, 13)
    log_run(server, http, {"good": good, "bad": bad, "lost": lost})
    fsck = lambda: server.cli("fsck", "--dir", server.dir, "--blobs", bucket.place, env=bucket.peer.env())
    sound = fsck()
    assert sound.returncode == 0 and "3 blobs" in sound.stdout, sound.stdout + sound.stderr
    bucket.put(key_of(bad), bad[::-1])
    bucket.delete(key_of(lost))
    found = fsck()
    assert found.returncode == 1
    assert f"{sha256(bad)}" in found.stdout and "damaged in the bucket" in found.stdout
    assert f"{sha256(lost)}" in found.stdout and "is missing" in found.stdout
    wrong_place = server.cli("fsck", "--dir", server.dir)
    assert wrong_place.returncode == 1 and f"at home in {bucket.place}" in wrong_place.stderr


def test_a_backup_is_restored_into_a_folder_and_moved_to_another_bucket(server, start_server, bucket, http, tmp_path):
    files = {"a.txt": b"a", "b.bin": noise(9 * MIB, 14)}
    log_run(server, http, files)
    empty_cache_files = server.dir / "blobs/s3/cache"
    shutil.rmtree(empty_cache_files)
    restart(server)
    server.cli("backup", tmp_path / "all.tar", check=True)
    home = tmp_path / "other"
    home.mkdir()
    lathe(home, "restore", tmp_path / "all.tar", "--dir", home / ".lathe", check=True)
    # The copy does not touch the original's bucket…
    refused = lathe(home, "up", "--dir", home / ".lathe", "--listen", "127.0.0.1:0", "--blobs", bucket.place, env=bucket.peer.env())
    assert refused.returncode == 1 and "at home in folder" in refused.stderr, refused.stderr
    taken = lathe(home, "blobs", "copy", "--dir", home / ".lathe", "--to", bucket.place, env=bucket.peer.env())
    assert taken.returncode == 1 and "belongs to another Lathe store" in taken.stderr, taken.stdout + taken.stderr
    # … but has files of its own, and may move to a place of its own.
    elsewhere = f"s3://{bucket.name}/elsewhere"
    moved = lathe(home, "blobs", "copy", "--dir", home / ".lathe", "--to", elsewhere, env=bucket.peer.env())
    assert moved.returncode == 0 and "2 blobs" in moved.stdout, moved.stdout + moved.stderr
    shutil.rmtree(home / ".lathe/blobs")
    other = start_server("--blobs", elsewhere, home=home, env=bucket.peer.env())
    assert http.get(other.api(f"/blobs/{sha256(files['b.bin'])}")).content == files["b.bin"]


def lathe(home, *args, env=None, check=False):
    return subprocess.run([BINARY, *map(str, args)], cwd=home, env=clean_environment(**(env or {})), text=True,
                          capture_output=True, timeout=120, check=check)


def test_a_folder_moves_to_a_bucket_and_back(start_server, bucket, http):
    server = start_server(env=bucket.peer.env())
    data = noise(300_000, 15)
    url = log_run(server, http, {"weights.bin": data, "note.txt": b"note"})
    while_running = server.cli("blobs", "copy", "--dir", server.dir, "--to", bucket.place, env=bucket.peer.env())
    assert while_running.returncode == 1 and "2 blobs" in while_running.stdout and "stays with folder" in while_running.stdout
    late = http.put(f"{url}/late.txt", data=b"late")
    assert late.status_code == 200
    server.stop()
    refused = lathe(server.home, "up", "--dir", server.dir, "--listen", "127.0.0.1:0", "--blobs", bucket.place, env=bucket.peer.env())
    assert refused.returncode == 1 and "lathe blobs copy --to" in refused.stderr
    moved = lathe(server.home, "blobs", "copy", "--dir", server.dir, "--to", bucket.place, env=bucket.peer.env())
    assert moved.returncode == 0 and "1 blobs" in moved.stdout and "2 were there" in moved.stdout, moved.stdout + moved.stderr
    server.args = ["--blobs", bucket.place]
    empty_cache(server)
    server.start()
    path = url.removeprefix(url.split("/api")[0])
    for name, bytes in {"weights.bin": data, "note.txt": b"note", "late.txt": b"late"}.items():
        assert http.get(f"{server.url}{path}/{name}").content == bytes
    server.stop()
    refused = lathe(server.home, "up", "--dir", server.dir, "--listen", "127.0.0.1:0")
    assert refused.returncode == 1 and f"set blobs: {bucket.place}" in refused.stderr
    back = lathe(server.home, "blobs", "copy", "--dir", server.dir, "--to", "folder", env=bucket.peer.env())
    assert back.returncode == 0 and "3 blobs" in back.stdout, back.stdout + back.stderr
    server.args = []
    server.start()
    assert http.get(f"{server.url}{path}/weights.bin").content == data


def test_two_stores_do_not_share_a_place(server, start_server, bucket, tmp_path):
    refused = lathe(tmp_path, "up", "--dir", tmp_path / "x", "--listen", "127.0.0.1:0", "--blobs", bucket.place, env=bucket.peer.env())
    assert refused.returncode == 1 and "belongs to another Lathe store" in refused.stderr
    other = start_server("--blobs", bucket.place + "/below", env=bucket.peer.env())
    assert other.url


# --- settings -------------------------------------------------------------------------------------------------------

def test_secrets_are_nowhere(server, bucket, http):
    put(server, http, b"x")
    config = server.cli("config", "--dir", server.dir, "--blobs", bucket.place, env=bucket.peer.env())
    assert f"s3_endpoint: {bucket.peer.told['proxy']}" in config.stdout and "AWS_ENDPOINT_URL_S3" in config.stdout
    said = config.stdout + server.log() + http.get(f"{server.url}/metrics").text
    assert bucket.peer.told["secret"] not in said and bucket.peer.told["key"] not in said


@pytest.mark.parametrize("flags,told", [
    (["--blobs", "s3://"], "s3://BUCKET/PREFIX"), (["--blobs", "gs://b/p"], "s3://BUCKET/PREFIX"),
    (["--blobs", "s3://bucket/../up"], "s3://BUCKET/PREFIX"), (["--blobs", "s3://bucket", "--s3-endpoint", "ftp://x"], "http[s]://"),
    (["--blobs", "s3://bucket", "--s3-endpoint", "http://user:word@host"], "http[s]://"),
    (["--blobs", "s3://bucket", "--s3-addressing", "dns"], "auto, path, virtual"),
    (["--blobs", "s3://bucket", "--s3-cache-mib", "-1"], "whole number"),
])
def test_wrong_settings_are_refused(tmp_path, flags, told):
    refused = lathe(tmp_path, "config", "--dir", tmp_path, *flags)
    assert refused.returncode == 2 and told in refused.stderr, refused.stderr


def test_without_keys_the_server_says_where_it_looked(tmp_path, bucket):
    env = {**bucket.peer.env(), "HOME": str(tmp_path)}
    del env["AWS_ACCESS_KEY_ID"]
    refused = lathe(tmp_path, "up", "--dir", tmp_path / "x", "--listen", "127.0.0.1:0", "--blobs", bucket.place, env=env)
    assert refused.returncode == 1 and "no credentials for S3" in refused.stderr and "s3_metadata" in refused.stderr


def test_keys_come_from_the_shared_file_too(tmp_path, bucket, start_server, http):
    file = tmp_path / "credentials"
    file.write_text(f"[default]\naws_access_key_id = NOBODY\naws_secret_access_key = x\n\n[lathe]\n"
                    f"aws_access_key_id = {bucket.peer.told['key']}\naws_secret_access_key = {bucket.peer.told['secret']}\n")
    env = {**bucket.peer.env(), "AWS_SHARED_CREDENTIALS_FILE": str(file)}
    server = start_server("--blobs", bucket.place, "--s3-profile", "lathe", env=env)
    assert put(server, http, b"by profile").status_code == 201


class Metadata(http.server.BaseHTTPRequestHandler):
    """An instance's metadata service, version 2 only. The first keys are about to expire."""
    asked, keys = [], None

    def log_message(self, *args):
        pass

    def answer(self, status, body=""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_PUT(self):
        assert self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
        self.answer(200, "a-token")

    def do_GET(self):
        if self.headers["X-aws-ec2-metadata-token"] != "a-token":
            return self.answer(401)
        self.asked.append(self.path)
        if self.path.endswith("/security-credentials/"):
            return self.answer(200, "the-role\n")
        lives_s = 200 if len(self.asked) <= 2 else 3_600  # within the five minutes before its end it is asked for anew
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + lives_s))
        return self.answer(200, json.dumps({"Code": "Success", "AccessKeyId": self.keys[0], "SecretAccessKey": self.keys[1],
                                            "Token": "session/token==", "Expiration": until}))


@pytest.mark.skipif("LATHE_TEST_S3_GATEWAY" in os.environ, reason="that server knows no session's token")
def test_keys_come_from_the_instance_only_if_allowed(tmp_path, bucket, start_server, http):
    Metadata.asked, Metadata.keys = [], (bucket.peer.told["key"], bucket.peer.told["secret"])
    service = ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    env = {**bucket.peer.env(), "HOME": str(tmp_path), "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{service.server_port}"}
    del env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"]
    try:
        refused = lathe(tmp_path, "up", "--dir", tmp_path / "x", "--listen", "127.0.0.1:0", "--blobs", bucket.place, env=env)
        assert refused.returncode == 1 and Metadata.asked == []
        server = start_server("--blobs", bucket.place, "--s3-metadata", "1", env=env)
        asked = len(Metadata.asked)
        assert asked >= 4, "the first keys ran out"
        for data in (b"a", b"b"):
            assert put(server, http, data).status_code == 201
        assert len(Metadata.asked) == asked, "the second ones are kept"
    finally:
        service.shutdown()


# --- the stock client, and the whole loop ---------------------------------------------------------------------------

def test_mlflow_logs_and_downloads(server, bucket, tmp_path):
    script = """
import mlflow, os, pathlib, sys
folder = pathlib.Path(sys.argv[1])
(folder / "model").mkdir()
(folder / "model" / "weights.bin").write_bytes(os.urandom(11 << 20))
(folder / "note.txt").write_text("note")
with mlflow.start_run() as run:
    mlflow.log_artifact(folder / "note.txt")
    mlflow.log_artifacts(folder / "model", "model")
    mlflow.log_dict({"a": 1}, "d.json")
got = pathlib.Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, dst_path=sys.argv[2]))
assert (got / "model" / "weights.bin").read_bytes() == (folder / "model" / "weights.bin").read_bytes()
assert (got / "note.txt").read_text() == "note" and mlflow.artifacts.load_dict(run.info.artifact_uri + "/d.json") == {"a": 1}
"""
    (tmp_path / "in").mkdir(), (tmp_path / "out").mkdir()
    for multipart in ("false", "true"):
        shutil.rmtree(tmp_path / "in"), (tmp_path / "in").mkdir()
        done = subprocess.run([ROOT / ".venv/bin/python", "-c", script, tmp_path / "in", tmp_path / "out"], text=True, capture_output=True,
                              env=clean_environment(MLFLOW_TRACKING_URI=server.url, MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD=multipart,
                                                    MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE=str(6 << 20),
                                                    MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE=str(5 << 20)), timeout=180)
        assert done.returncode == 0, done.stderr
    assert len(bucket.blobs()) >= 3


def test_files_are_fetched_from_the_bucket_itself(server, bucket, tmp_path, http):
    assert http.get(server.url + "/api/3.0/mlflow/server-info").json()["multipart_downloads_enabled"] is True
    (tmp_path / "x.bin").write_bytes(noise(7 * MIB, seed=77)), (tmp_path / "out").mkdir()
    script = """
import sys, mlflow, pathlib
with mlflow.start_run() as run:
    mlflow.log_artifact(sys.argv[1])
got = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="x.bin", dst_path=sys.argv[2])
assert pathlib.Path(got).read_bytes() == pathlib.Path(sys.argv[1]).read_bytes()
print(run.info.run_id)
"""
    done = subprocess.run([ROOT / ".venv/bin/python", "-c", script, tmp_path / "x.bin", tmp_path / "out"], text=True, capture_output=True, timeout=180,
                          env=clean_environment(MLFLOW_TRACKING_URI=server.url, MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE=str(1 << 20)))
    assert done.returncode == 0, done.stderr
    run = done.stdout.split()[-1]
    told = http.get(f"{server.url}/api/2.0/mlflow-artifacts/presigned/0/{run}/artifacts/x.bin").json()
    assert told["file_size"] == 7 * MIB and told["headers"] == {} and "X-Amz-Signature=" in told["url"] and not told["url"].startswith(server.url)
    assert http.get(told["url"], headers={"Range": "bytes=10-19"}).content == (tmp_path / "x.bin").read_bytes()[10:20]


def test_the_loop_runs_on_a_bucket(bucket, tmp_path, http):
    from digits_life import DigitsLife

    life = DigitsLife(tmp_path, args=["--blobs", bucket.place, "--s3-cache-mib", "4"], env=bucket.peer.env())
    try:
        life.train()
        life.live()
        assert bucket.blobs()
        restart(life.server, cache=False)
        life.ask([0.0] * 64, "0")
        fsck = life.server.cli("fsck", "--dir", life.server.dir, "--blobs", bucket.place, env=bucket.peer.env())
        assert fsck.returncode == 0, fsck.stdout
    finally:
        life.stop()
