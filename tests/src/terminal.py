"""Runs a command on a terminal of its own, answers what it asks for, and shows what the terminal showed."""

import os
import pty
import sys

answer, *command = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(command[0], command)
shown = b""
asked = False
while True:
    try:
        piece = os.read(terminal, 4096)
    except OSError:
        break
    if not piece:
        break
    shown += piece
    if not asked and shown.endswith(b": "):
        asked = True
        os.write(terminal, answer.encode() + b"\n")
sys.stdout.write(shown.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
