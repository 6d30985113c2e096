"""A stand-in of the hub's HTTP API that receives models: create, preupload, LFS, commit.

`python -m helpers.hub_server` is not needed: tests start it in a thread and run commands in
processes of their own with its `environment`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

GOOD_TOKEN = "hf_goodtokenofthetests"
READ_TOKEN = "hf_readtokenofthetests"


@dataclass
class HubServer:
    """The state of the hub: repositories with their files, and every request that arrived."""

    port: int = 0
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    stored: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    busy: bool = False

    def environment(self, home: Path, token: str | None = GOOD_TOKEN) -> dict[str, str]:
        """Return variables with which huggingface_hub talks to this server."""
        return {
            "HF_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "HF_HUB_OFFLINE": "0",
            # The protocol of Xet has no stand-in: the client then uploads by LFS.
            "HF_HUB_DISABLE_XET": "1",
            "HF_HOME": str(home),
            "NO_PROXY": "127.0.0.1",
            "HF_TOKEN": token or "",
        }


@contextmanager
def running_hub() -> Iterator[HubServer]:
    """Serve until the block ends."""
    hub = HubServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        body = self._read_body()
        path = self.path.partition("?")[0]
        self.hub.requests.append(f"{method} {path}")
        for pattern, answer in _ROUTES.items():
            match = re.fullmatch(pattern, f"{method} {path}")
            if match is not None:
                status, value = answer(self, body, *match.groups())
                break
        else:
            status, value = 404, {"error": f"no route {method} {path}"}
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        if "error" in value:
            self.send_header("X-Error-Message", str(value["error"]))
        self.end_headers()
        self.wfile.write(text)

    def _read_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _rejection(self, owner: str = "me") -> tuple[int, dict[str, Any]] | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.hub.busy:
            return 500, {"error": "Internal Error - we're working on it"}
        if token not in {GOOD_TOKEN, READ_TOKEN}:
            return 401, {"error": "Invalid credentials in Authorization header"}
        if owner != "me" or token == READ_TOKEN:
            return 403, {"error": f"You don't have the rights to create a model under {owner}"}
        return None

    def _whoami(self, body: bytes) -> tuple[int, dict[str, Any]]:
        rejected = self._rejection()
        if rejected is not None and rejected[0] != 403:
            return rejected
        role = "read" if rejected else "write"
        return 200, {"name": "me", "auth": {"accessToken": {"role": role}}}

    def _create(self, body: bytes) -> tuple[int, dict[str, Any]]:
        wanted = json.loads(body)
        owner = wanted.get("organization") or "me"
        if rejected := self._rejection(owner):
            return rejected
        name = f"{owner}/{wanted['name']}"
        url = f"http://127.0.0.1:{self.hub.port}/{name}"
        if name in self.hub.repositories:
            return 409, {"error": "You already created this model repo", "url": url}
        self.hub.repositories[name] = {}
        # huggingface_hub before 1 sends `private`, later ones `visibility`.
        self.hub.private[name] = (
            bool(wanted.get("private")) or wanted.get("visibility") == "private"
        )
        return 200, {"url": url}

    def _info(self, body: bytes, name: str) -> tuple[int, dict[str, Any]]:
        if name not in self.hub.repositories:
            return 404, {"error": "Repository not found"}
        private = self.hub.private.get(name, False)
        return 200, {"id": name, "private": private, "sha": "0" * 40, "siblings": [], "tags": []}

    def _validate(self, body: bytes) -> tuple[int, dict[str, Any]]:
        text = json.loads(body)["content"]
        metadata = yaml.safe_load(text.split("---")[1])
        errors = []
        base = metadata.get("base_model", "me/x")
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", base):
            errors.append({"message": '"base_model" with value is not valid. Use a model id'})
        if metadata.get("license") == "nonsense":
            errors.append({"message": '"license" must be one of [apache-2.0, mit, ...]'})
        return (400 if errors else 200), {"errors": errors, "warnings": []}

    def _preupload(self, body: bytes, name: str) -> tuple[int, dict[str, Any]]:
        if rejected := self._rejection(name.partition("/")[0]):
            return rejected
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        return 200, {"files": files}

    def _batch(self, body: bytes, name: str) -> tuple[int, dict[str, Any]]:
        place = f"http://127.0.0.1:{self.hub.port}/lfs"
        objects = [
            {**one, "actions": {"upload": {"href": f"{place}/{one['oid']}"}}}
            for one in json.loads(body)["objects"]
        ]
        return 200, {"transfer": "basic", "objects": objects}

    def _store(self, body: bytes, oid: str) -> tuple[int, dict[str, Any]]:
        if hashlib.sha256(body).hexdigest() != oid:
            return 400, {"error": "wrong content"}
        self.hub.stored[oid] = body
        return 200, {}

    def _commit(self, body: bytes, name: str) -> tuple[int, dict[str, Any]]:
        if rejected := self._rejection(name.partition("/")[0]):
            return rejected
        files = self.hub.repositories[name]
        for line in body.decode().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                self.hub.messages.append(value["summary"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.stored[value["oid"]]
            elif entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
        url = f"http://127.0.0.1:{self.hub.port}/{name}/commit/{'1' * 40}"
        return 200, {"success": True, "commitOid": "1" * 40, "commitUrl": url}


_NAME = r"([\w.-]+/[\w.-]+)"
_ROUTES: dict[str, Any] = {
    "GET /api/whoami-v2": _Handler._whoami,
    "POST /api/repos/create": _Handler._create,
    "POST /api/validate-yaml": _Handler._validate,
    rf"GET /api/models/{_NAME}(?:/revision/main)?": _Handler._info,
    rf"POST /api/models/{_NAME}/preupload/main": _Handler._preupload,
    rf"POST /{_NAME}\.git/info/lfs/objects/batch": _Handler._batch,
    r"PUT /lfs/(\w+)": _Handler._store,
    rf"POST /api/models/{_NAME}/commit/main": _Handler._commit,
}
