"""An HTTPS server that misbehaves as it is asked to by the path, or that only speaks TLS before another server.

Takes a certificate, its key, and the port of that server, or 0. Prints its port once it listens.
"""

import os
import socket
import ssl
import sys
import threading
import time

certificate, key, behind = sys.argv[1:4]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
listener = socket.create_server(("localhost", 0))
print(listener.getsockname()[1], flush=True)

HEAD = b"HTTP/1.1 %s\r\nConnection: close\r\n%s\r\n"


def answer(stream):
    request = b""
    while b"\r\n\r\n" not in request:
        piece = stream.recv(65536)
        if not piece:
            return
        request += piece
    head, body = request.split(b"\r\n\r\n", 1)
    length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while length and len(body) < int(length[0].split(b":")[1]):
        body += stream.recv(65536)
    path = request.split(b" ")[1].decode()
    print(path, file=sys.stderr, flush=True)
    case = path.split("/")[1]
    if case == "good":
        body = open("grant.json", "rb").read()
        stream.sendall(HEAD % (b"200 OK", b"Content-Length: %d\r\n" % len(body)) + body)
    elif case == "garbage":
        stream.sendall(HEAD % (b"200 OK", b"Content-Length: 2\r\n") + b"{}")
    elif case == "endless":
        stream.sendall(HEAD % (b"200 OK", b""))
        while True:
            stream.sendall(b" " * 65536)
    elif case == "liar":
        stream.sendall(HEAD % (b"200 OK", b"Content-Length: 4\r\n") + b" " * 1024)
    elif case == "short":
        stream.sendall(HEAD % (b"200 OK", b"Content-Length: 4096\r\n") + b"{")
    elif case == "slow":
        stream.sendall(HEAD % (b"200 OK", b"Content-Length: 4096\r\n"))
        for _ in range(120):
            stream.sendall(b" ")
            time.sleep(1)
    elif case == "redirect":
        stream.sendall(HEAD % (b"302 Found", b"Location: /good/grants/x.json\r\n"))
    elif case == "plain":
        stream.sendall(b"no HTTP at all\r\n\r\n")
    elif case == "take":
        os.makedirs("taken", exist_ok=True)
        with open("taken/" + os.path.basename(path), "wb") as file:
            file.write(body)
        stream.sendall(HEAD % (b"201 Created", b"Content-Length: 0\r\n"))
    elif case == "forbidden":
        stream.sendall(HEAD % (b"403 Forbidden", b""))
    elif case == "throttled":
        stream.sendall(HEAD % (b"429 Too Many", b"Retry-After: 120\r\n"))
    elif case == "large":
        stream.sendall(HEAD % (b"413 Too Large", b""))
    elif case == "hang":
        time.sleep(600)
    elif case == "busy":
        stream.sendall(HEAD % (b"503 Busy", b"Retry-After: 1\r\n"))
    else:
        stream.sendall(HEAD % (b"404 Not Found", b""))


def copy(source, sink):
    try:
        while piece := source.recv(65536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(connection):
    try:
        with context.wrap_socket(connection, server_side=True) as stream:
            if behind == "0":
                answer(stream)
                return
            with socket.create_connection(("127.0.0.1", int(behind))) as other:
                threading.Thread(target=copy, args=(stream, other), daemon=True).start()
                copy(other, stream)
    except (OSError, ssl.SSLError) as error:
        print(error, file=sys.stderr, flush=True)


while True:
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
