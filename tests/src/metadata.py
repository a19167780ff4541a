"""EC2's metadata service inside a container, at 169.254.169.254: argv[1] is a JSON object of path to text.

Paths lack the version. Directories are listed by what lies beneath them. Session tokens are issued and not asked for: cloud-init
asks without one where the firmware, here that of the machine, is not EC2's.
"""

import http.server
import json
import sys

TOKEN = "AQAEAExampleToken=="
with open(sys.argv[1], encoding="utf-8") as file:
    DOCUMENTS = json.load(file)


def answer(path):
    """Returns the text at the path, a listing, or None."""
    path = path.strip("/")
    if path in DOCUMENTS:
        return DOCUMENTS[path]
    beneath = [name[len(path) + 1:] for name in DOCUMENTS if name.startswith(path + "/")]
    names = {name.split("/")[0] + ("/" if "/" in name else "") for name in beneath}
    # A directory that has a text of its own, as that of the keys, is listed as a directory.
    names = {name for name in names if name + "/" not in names}
    return "\n".join(sorted(names)) or None


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as EC2 does."""

    def say(self, code, text=""):
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        self.say(200 if self.path.endswith("/api/token") else 405, TOKEN)

    def do_GET(self):
        version, _, path = self.path.lstrip("/").partition("/")
        text = answer(path) if version else "latest"
        self.say(404) if text is None else self.say(200, text)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("169.254.169.254", 80), Handler).serve_forever()
