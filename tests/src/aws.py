"""A stand-in for AWS: ministack, which does what KMS, S3, STS and the metadata service do, behind a front that
checks each signature of a request as botocore makes them, fails now and then, and can lie.

Prints a line of JSON once it listens: the two addresses, of the front that is honest and of the one that
lies, and the keys that it made. Ends when its standard input does.
"""

import base64
import hashlib
import http.client
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

import botocore.session
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

REGION = "eu-central-1"
# What is allowed to sign: grows by what STS and the metadata service hand out.
SECRETS = {"AKIAEXAMPLE": "secret/of+the test"}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


# What each service wants signed.
WANTED = {"kms": {"host", "x-amz-date", "x-amz-target"}, "s3": {"host", "x-amz-content-sha256", "x-amz-date"}}


def mismatch(service, method, headers, path, body):
    """Why the request is not signed as it should be, by botocore's own hand."""
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request, "
        r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})",
        headers.get("Authorization", ""),
    )
    if not found:
        return "not signed"
    access, region, scope, names, signature = found.groups()
    if region != REGION or scope != service or access not in SECRETS:
        return "wrong region, service or key"
    names = names.split(";")
    if not WANTED[service] <= set(names):
        return "too little is signed"
    if headers.get("x-amz-content-sha256") != hashlib.sha256(body).hexdigest():
        return "wrong digest"
    signed = {name: headers[name] for name in names}
    request = AWSRequest(method, f"http://{headers['Host']}{path}", headers=signed, data=body)
    request.context["timestamp"] = headers["x-amz-date"]
    kind = S3SigV4Auth if service == "s3" else SigV4Auth
    auth = kind(Credentials(access, SECRETS[access]), service, REGION)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    return None if auth.signature(text, request) == signature else "wrong signature"


class Server(http.server.ThreadingHTTPServer):
    # Many ask at a time, and who is not let in at once gives up.
    request_queue_size = 256


class Front(http.server.BaseHTTPRequestHandler):
    backend = 0
    lies = False
    failures = 0
    asked = set()

    def log_message(self, *_):
        pass

    def answer(self, status, body, tag=None):
        self.send_response(status)
        if tag:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse_unsigned(self, service, body):
        """Answers a request that is not signed as it should be."""
        why = mismatch(service, self.command, self.headers, self.path, body)
        if not why:
            return False
        if service == "s3":
            error = f"<Error><Code>SignatureDoesNotMatch</Code><Message>{why}</Message></Error>"
            self.answer(403, error.encode())
        else:
            error = {"__type": "InvalidSignatureException", "message": why}
            self.answer(400, json.dumps(error).encode())
        return True

    def is_a_bad_moment(self):
        """Each second request to a service fails, as on a bad day."""
        Front.failures += 1
        return Front.failures % 2

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        target = self.headers.get("X-Amz-Target", "")
        if self.path.startswith("/releases/"):
            return self.handle_s3(body)
        if target.startswith("TrentService."):
            if self.refuse_unsigned("kms", body):
                return
            if self.is_a_bad_moment():
                return self.answer(503, b"")
        status, answer, _ = forward(self.backend, self.command, self.path, self.headers, body)
        remember(answer)
        if self.lies and target == "TrentService.Sign":
            asked = json.loads(body)
            asked["Message"] = base64.b64encode(bytes(32)).decode()
            status, answer, _ = forward(
                self.backend, "POST", self.path, self.headers, json.dumps(asked).encode()
            )
        self.answer(status, answer)

    def handle_s3(self, body):
        if self.refuse_unsigned("s3", body):
            return
        # Whatever is asked for the first time fails. Half of the puts are done all the same: it is their
        # answer that gets lost.
        digest = hashlib.sha256(body).hexdigest()
        asked = (self.command, self.path, digest)
        bad = asked not in Front.asked
        Front.asked.add(asked)
        if bad and not (self.command == "PUT" and int(digest, 16) % 2):
            return self.answer(503, b"<Error><Code>SlowDown</Code></Error>")
        status, answer, tag = forward(self.backend, self.command, self.path, self.headers, body)
        if bad:
            return self.answer(500, b"<Error><Code>InternalError</Code></Error>")
        self.answer(status, answer, tag)

    do_GET = do_POST = do_PUT = handle_any


def forward(port, method, path, headers, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    passed = {k: v for k, v in headers.items() if k.lower() != "content-length"}
    connection.request(method, path, body, passed)
    response = connection.getresponse()
    return response.status, response.read(), response.headers.get("ETag")


def remember(answer):
    text = answer.decode("utf-8", "replace")
    for pattern in (
        r"<AccessKeyId>([^<]+)</AccessKeyId>\s*<SecretAccessKey>([^<]+)<",
        r'"AccessKeyId"\s*:\s*"([^"]+)"\s*,\s*"SecretAccessKey"\s*:\s*"([^"]+)"',
    ):
        for access, secret in re.findall(pattern, text):
            SECRETS[access] = secret


def start():
    backend = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "SERVICES": "kms,s3,sts,iam,imds",
        "IOT_MTLS_ENABLED": "0",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(backend),
        "MINISTACK_IMDS_V2_REQUIRED": "1",
        "HOME": os.getcwd(),
    }
    command = [sys.executable, "-c", "import sys; from ministack.app import main; sys.exit(main())"]
    log = open("ministack.log", "wb")
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", backend), 1).close()
            break
        except OSError:
            time.sleep(0.1)
    fronts = []
    for lies in (False, True):
        front = type("AFront", (Front,), {"backend": backend, "lies": lies})
        server = Server(("127.0.0.1", 0), front)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        fronts.append(f"http://127.0.0.1:{server.server_port}")
    def client(service):
        return botocore.session.get_session().create_client(
            service,
            region_name=REGION,
            endpoint_url=f"http://127.0.0.1:{backend}",
            aws_access_key_id="AKIAEXAMPLE",
            aws_secret_access_key="x",
        )

    kms = client("kms")
    client("s3").create_bucket(
        Bucket="releases", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    keys = {}
    for name, spec, usage in (
        ("p256", "ECC_NIST_P256", "SIGN_VERIFY"),
        ("ed25519", "ECC_NIST_EDWARDS25519", "SIGN_VERIFY"),
        ("rsa", "RSA_2048", "SIGN_VERIFY"),
    ):
        made = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
        keys[name] = made["Arn"]
        kms.create_alias(AliasName=f"alias/{name}", TargetKeyId=made["KeyId"])
    behind = f"http://127.0.0.1:{backend}"
    return process, {"honest": fronts[0], "liar": fronts[1], "behind": behind, "keys": keys}


process, ready = start()
print(json.dumps(ready), flush=True)
sys.stdin.read()
process.terminate()
process.wait()
