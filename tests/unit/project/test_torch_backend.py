"""uv installs torch's CPU build with the options of tools/setup.sh, from a stand-in of PyTorch's index on loopback.

A loopback proxy responds for download.pytorch.org with a certificate that only this test trusts.
"""

import hashlib
import io
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import venv
import zipfile
from pathlib import Path

import pytest

from tests.helpers import ROOT

HOST = "download.pytorch.org"
PACKAGES = ("torch", "torchvision")


def version_in_lock(package: str) -> str:
    return re.search(rf"^{package}==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)[1]


def wheel(package: str, version: str) -> bytes:
    """Return a wheel of one module whose __version__ names the CPU build."""
    module = f"__version__ = '{version}'\n".encode()
    about = f"{package}-{version}.dist-info"
    files = {
        f"{package}/__init__.py": module,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n".encode(),
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{about}/RECORD"]).encode()
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def responses() -> dict[str, tuple[str, bytes]]:
    """Return path -> (content type, body) of the index."""
    found = {}
    for package in PACKAGES:
        version = f"{version_in_lock(package)}+cpu"
        name, data = f"{package}-{version}-py3-none-any.whl", wheel(package, version)
        path = f"/whl/cpu/{name.replace('+', '%2B')}"
        found[path] = ("application/octet-stream", data)
        link = f'<a href="{path}#sha256={hashlib.sha256(data).hexdigest()}">{name}</a>'
        found[f"/whl/cpu/{package}/"] = ("text/html", f"<!DOCTYPE html><html><body>{link}</body></html>".encode())
    return found


def make_certificates(authority: Path, leaf: Path, key: Path) -> None:
    """Write the certificate of an authority, and one for HOST that it signed, with the key of the latter."""
    signing = authority.with_suffix(".key")
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    own = [*new, "-subj", "/CN=test", "-keyout", str(signing), "-out", str(authority)]
    extensions = ["-addext", f"subjectAltName=DNS:{HOST}", "-addext", "basicConstraints=critical,CA:FALSE"]
    signed = [*new, "-subj", f"/CN={HOST}", *extensions, "-CA", str(authority), "-CAkey", str(signing)]
    for command in (own, [*signed, "-keyout", str(key), "-out", str(leaf)]):
        subprocess.run(command, check=True, capture_output=True)


class Index:
    """HTTP proxy on loopback that accepts CONNECT to HOST only, and responds itself."""

    def __init__(self, folder: Path) -> None:
        self.certificate, leaf, key = folder / "authority.pem", folder / "leaf.pem", folder / "key.pem"
        make_certificates(self.certificate, leaf, key)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(leaf, key)
        self.responses, self.requests, self.refused = responses(), [], []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(30)
            target = head(connection).split(" ")[1]
            if target != f"{HOST}:443":
                self.refused.append(target)
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            try:
                with self.context.wrap_socket(connection, server_side=True) as secure:
                    while request := head(secure):
                        self._respond(secure, *request.split(" ")[:2])
            except (OSError, ValueError):
                return

    def _respond(self, secure: ssl.SSLSocket, method: str, path: str) -> None:
        self.requests.append(path)
        kind, body = self.responses.get(path, ("text/plain", b""))
        status = "200 OK" if body else "404 Not Found"
        lines = (f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", "", "")
        secure.sendall("\r\n".join(lines).encode() + (b"" if method == "HEAD" else body))


def head(connection: socket.socket) -> str:
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            return ""
        data += byte
    return data.decode()


@pytest.fixture
def index(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl for the certificate")
    index = Index(tmp_path)
    yield index
    index.close()


def test_the_cpu_build_comes_from_the_index_of_pytorch(index, tmp_path):
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("needs the environment's uv")
    venv.create(tmp_path / "venv")
    script = (ROOT / "tools/setup.sh").read_text()
    options = re.search(r'"\$\{uv\[@\]\}" (.*--torch-backend cpu) \$builds', script)[1].split()
    builds = [f"{package}=={version_in_lock(package)}" for package in PACKAGES]
    command = [uv, "pip", "install", "--quiet", "--no-cache", "--python", tmp_path / "venv/bin/python"]
    removed = ("UV_", "PIP_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    environment = {key: value for key, value in os.environ.items() if not key.upper().startswith(removed)}
    environment |= {"HTTPS_PROXY": index.address, "SSL_CERT_FILE": str(index.certificate), "UV_NO_CONFIG": "1"}
    done = subprocess.run([*command, *options, *builds], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    code = "import torch, torchvision; print(torch.__version__, torchvision.__version__)"
    shown = subprocess.run([tmp_path / "venv/bin/python", "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == [f"{version_in_lock(package)}+cpu" for package in PACKAGES]
    assert {path.split("/")[2] for path in index.requests} == {"cpu"} and index.refused == []
