"""TLS as stock clients meet it: curl, openssl, Python's ssl, MLflow's client, our own command, a stage's environment."""
import os
import socket
import ssl
import subprocess
import threading
import time

import pytest
import requests

from lathe_server import Server, clean_environment
from people import PASSWORD, add_user


def certificate(folder, name="lathe-test"):
    """A self-made pair; the key comes first, so that for a moment the two do not fit."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", folder / "key.new", "-out", folder / "cert.new"], check=True, capture_output=True)
    os.replace(folder / "key.new", folder / "key.pem")
    os.replace(folder / "cert.new", folder / "cert.pem")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    certificate(folder)
    return folder


@pytest.fixture(scope="module")
def server(start_module_server, pair):
    return start_module_server("--tls-cert", str(pair / "cert.pem"), "--tls-key", str(pair / "key.pem"))


def subject(server):
    pem = ssl.get_server_certificate(("127.0.0.1", server.port))
    out = subprocess.run(["openssl", "x509", "-noout", "-subject"], input=pem, text=True, capture_output=True, check=True).stdout
    return out.strip().replace(" ", "").removeprefix("subject=CN=")


def test_curl_python_and_our_command_reach_it(server, pair):
    assert server.url.startswith("https://127.0.0.1:")
    assert requests.get(f"{server.url}/health", verify=str(pair / "cert.pem")).text == "OK"
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{server.url}/health")
    curl = subprocess.run(["curl", "-s", "--cacert", pair / "cert.pem", "-w", "%{http_version} %{ssl_verify_result}", f"{server.url}/health"],
                          text=True, capture_output=True, check=True)
    assert curl.stdout == "OK2 0"
    # Beside its folder the command finds server and authority by itself; from elsewhere it is told.
    assert server.cli("status", env={"LATHE_SERVER": ""}).returncode == 0
    refused = server.cli("status", cwd="/")
    assert refused.returncode == 3 and "--ca-cert" in refused.stderr
    assert server.cli("--ca-cert", pair / "cert.pem", "status", cwd="/").returncode == 0
    assert server.cli("status", cwd="/", env={"LATHE_CA_CERT": str(pair / "cert.pem")}).returncode == 0
    assert server.cli("--ca-cert", "/nowhere.pem", "status").returncode == 2


def test_versions_ciphers_and_protocols(server):
    def connect(least, most, alpn=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version, context.maximum_version = least, most
        if alpn:
            context.set_alpn_protocols(alpn)
        with socket.create_connection(("127.0.0.1", server.port)) as raw, context.wrap_socket(raw) as tls:
            return tls.version(), tls.cipher()[0], tls.selected_alpn_protocol()

    V = ssl.TLSVersion
    assert connect(V.TLSv1_3, V.TLSv1_3)[0] == "TLSv1.3"
    version, cipher, protocol = connect(V.TLSv1_2, V.TLSv1_2, ["h2", "http/1.1"])
    assert version == "TLSv1.2" and protocol == "h2" and cipher.startswith("ECDHE-") and ("GCM" in cipher or "CHACHA" in cipher)
    assert connect(V.TLSv1_3, V.TLSv1_3, ["http/1.1"])[2] == "http/1.1"
    with pytest.raises(ssl.SSLError):
        connect(V.TLSv1_1, V.TLSv1_1)
    with pytest.raises(ssl.SSLError):
        connect(V.TLSv1_3, V.TLSv1_3, ["h3"])


def test_openssl_cannot_renegotiate(server):
    out = subprocess.run(["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{server.port}"], text=True,
                         input="R\n", capture_output=True, timeout=30)
    assert "no renegotiation" in (out.stdout + out.stderr).lower() or out.returncode != 0


def test_http_on_the_https_port_is_told_so(server):
    for words in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"DELETE /a HTTP/1.1\r\nHost: x\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.port)) as plain:
            plain.sendall(words)
            answer = b""
            while piece := plain.recv(4096):
                answer += piece
        assert answer.startswith(b"HTTP/1.1 400 ") and b"https://" in answer


def test_the_stock_mlflow_client(server, pair):
    code = ("import mlflow\nwith mlflow.start_run() as r:\n mlflow.log_metric('m', 1)\n mlflow.log_text('hello', 'a.txt')\n"
            "print(mlflow.artifacts.load_text(r.info.artifact_uri + '/a.txt'))")
    import sys
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, timeout=120,
                          env=clean_environment(MLFLOW_TRACKING_URI=server.url, MLFLOW_TRACKING_SERVER_CERT_PATH=str(pair / "cert.pem")))
    assert done.returncode == 0 and "hello" in done.stdout, done.stderr


def test_a_new_pair_under_load_breaks_nothing(start_server, tmp_path):
    certificate(tmp_path, "first")
    server = start_server("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    stop, failures, answers = threading.Event(), [], [0]

    def load():
        context = ssl._create_unverified_context()
        while not stop.is_set():
            try:
                with socket.create_connection(("127.0.0.1", server.port), 10) as raw, context.wrap_socket(raw) as tls:
                    for _ in range(20):
                        tls.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                        assert tls.recv(4096).startswith(b"HTTP/1.1 200")
                        answers[0] += 1
            except Exception as error:  # noqa: BLE001
                failures.append(repr(error))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    held = ssl._create_unverified_context().wrap_socket(socket.create_connection(("127.0.0.1", server.port)))
    try:
        for name in ("second", "third"):
            certificate(tmp_path, name)
            until = time.monotonic() + 20
            while subject(server) != name:
                assert time.monotonic() < until, server.log()
                time.sleep(0.1)
        (tmp_path / "key.pem").write_text("broken")
        until = time.monotonic() + 20
        while "stays in force" not in server.log():
            assert time.monotonic() < until
            time.sleep(0.1)
        assert subject(server) == "third"
        held.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert held.recv(4096).startswith(b"HTTP/1.1 200"), "a connection from before two changes"
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        held.close()
    assert not failures and answers[0] > 100
    assert requests.get(f"{server.url}/health", verify=str(server.dir / "ca.pem")).text == "OK", "ca.pem follows"


def test_only_a_named_proxy_is_believed(start_server):
    forwarded = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "localhost"}
    direct = start_server()
    assert requests.get(direct.api("/status")).status_code == 200
    refused = requests.get(direct.api("/status"), headers=forwarded)
    assert refused.status_code == 403 and "--behind-proxy" in refused.text
    elsewhere = start_server("--behind-proxy", "10.0.0.0/8,2001:db8::/32")
    assert requests.get(elsewhere.api("/status"), headers=forwarded).status_code == 403
    # What comes from the proxy is not the machine's owner, however it is made.
    named = start_server("--behind-proxy", "192.0.2.1, 127.0.0.0/8")
    assert requests.get(f"{named.url}/health", headers=forwarded).text == "OK"
    assert requests.get(named.api("/status"), headers=forwarded).status_code == 401
    assert requests.get(named.api("/status")).status_code == 401
    own = {**forwarded, "Origin": "https://localhost"}
    assert requests.get(f"{named.url}/health", headers=own).status_code == 200
    assert requests.get(f"{named.url}/health", headers={**own, "Origin": "http://localhost"}).status_code == 403
    assert requests.get(f"{named.url}/health", headers={**forwarded, "X-Forwarded-Host": "evil.example"}).status_code == 403


def test_settings_that_do_not_fit_are_refused(server, pair):
    for args, words in ((["--tls-cert", pair / "cert.pem"], "without tls_key"),
                        (["--tls-key", pair / "key.pem"], "without tls_cert"),
                        (["--behind-proxy", "proxy.example.org"], "addresses of the proxies"),
                        (["--url", "ftp://x"], "https://HOST")):
        refused = server.cli("config", *args)
        assert refused.returncode == 2 and words in refused.stderr, refused.stderr
    failed = server.cli("up", "--dir", server.home / "other", "--listen", "127.0.0.1:0", "--tls-cert", pair / "key.pem", "--tls-key", pair / "key.pem")
    assert failed.returncode == 1 and "tls_cert" in failed.stderr


# --- other machines --------------------------------------------------------------------------------------------------

def own_address():
    """This machine's address on the network, or none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("203.0.113.1", 9))  # sends nothing
        except OSError:
            return None
        return probe.getsockname()[0]


def refusal(tmp_path, *args):
    server = Server(tmp_path, args, wait=False)
    assert server.process.wait(30) == 1 or server.process.returncode == 2
    return server.log()


def test_other_machines_want_encryption_and_a_user(tmp_path, pair):
    assert "--tls-cert" in refusal(tmp_path, "--listen", "0.0.0.0:0")
    assert "--tls-cert" in refusal(tmp_path, "--listen", "[::]:0")
    tls = ("--listen", "0.0.0.0:0", "--tls-cert", str(pair / "cert.pem"), "--tls-key", str(pair / "key.pem"))
    assert "lathe user add" in refusal(tmp_path, *tls)
    assert "ADDRESS:PORT" in refusal(tmp_path, "--listen", "somewhere:0")
    assert "none of this machine's" in refusal(tmp_path, "--listen", "203.0.113.1:0", "--behind-proxy", "127.0.0.1")


@pytest.mark.skipif(own_address() in (None, "127.0.0.1"), reason="this machine has no network")
def test_colleagues_log_in_over_tls(tmp_path, pair):
    add_user(tmp_path, "ada", env={"LATHE_DIR": str(tmp_path / ".lathe")})
    server = Server(tmp_path, ("--listen", "0.0.0.0:0", "--tls-cert", str(pair / "cert.pem"), "--tls-key", str(pair / "key.pem")))
    try:
        afar = f"https://{own_address()}:{server.port}"
        assert requests.get(f"{afar}/health", verify=False).text == "OK"
        search = f"{afar}/api/2.0/mlflow/experiments/get?experiment_id=0"
        assert requests.get(search, verify=False).status_code == 401
        assert requests.get(search, verify=False, auth=("ada", PASSWORD)).status_code == 200
        # Whoever runs the server stays its administrator on this machine.
        assert requests.get(server.url + "/api/2.0/mlflow/experiments/get?experiment_id=0", verify=str(pair / "cert.pem")).status_code == 200
    finally:
        server.down()


@pytest.mark.skipif(own_address() in (None, "127.0.0.1"), reason="this machine has no network")
def test_in_the_clear_only_through_the_announced_proxy(tmp_path):
    add_user(tmp_path, "ada", env={"LATHE_DIR": str(tmp_path / ".lathe")})
    server = Server(tmp_path, ("--listen", "0.0.0.0:0", "--behind-proxy", "127.0.0.1", "--allowed-host", "lathe.example.org"))
    try:
        afar = f"http://{own_address()}:{server.port}/api/2.0/mlflow/experiments/get?experiment_id=0"
        refused = requests.get(afar, auth=("ada", PASSWORD))
        assert refused.status_code == 403 and "--behind-proxy" in refused.text
        near = afar.replace(own_address(), "127.0.0.1")
        through = {"Host": "lathe.example.org", "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
        assert requests.get(near, headers=through).status_code == 401, "what comes through a proxy is nobody"
        assert requests.get(near, headers=through, auth=("ada", PASSWORD)).status_code == 200
        login = requests.post(f"http://127.0.0.1:{server.port}/api/lathe/v1/login", headers={**through, "Origin": "https://lathe.example.org"},
                              json={"user": "ada", "password": PASSWORD})
        assert login.status_code == 204, login.text
        cookie = login.headers["Set-Cookie"]
        assert cookie.startswith("__Host-lathe_session=") and "Secure" in cookie, "the browser's side is https"
        rebound = requests.get(near, headers={**through, "Host": "evil.example.com"}, auth=("ada", PASSWORD))
        assert rebound.status_code == 403
    finally:
        server.down()
