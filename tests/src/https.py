"""An HTTPS server that misbehaves as it is asked to by the path. Prints its port once it listens."""

import socket
import ssl
import sys
import time

certificate, key = sys.argv[1:3]
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
    elif case == "busy":
        stream.sendall(HEAD % (b"503 Busy", b"Retry-After: 1\r\n"))
    else:
        stream.sendall(HEAD % (b"404 Not Found", b""))


while True:
    connection, _ = listener.accept()
    try:
        with context.wrap_socket(connection, server_side=True) as stream:
            answer(stream)
    except (OSError, ssl.SSLError) as error:
        print(error, file=sys.stderr, flush=True)
