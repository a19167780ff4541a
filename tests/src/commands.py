"""Prints the shell of workflows, buildspecs and components (YAML), with values in the place of their variables."""

import re
import sys

import yaml


def commands(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "run" and isinstance(value, str):
                yield value
            elif key == "commands":
                yield from value
            else:
                yield from commands(value)
    elif isinstance(node, list):
        for value in node:
            yield from commands(value)


print("#!/bin/bash")
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        found = list(commands(yaml.safe_load(file)))
    if not found:
        sys.exit(f"no command in {path}")
    for command in found:
        # Each runs in a shell of its own.
        print("(\n" + re.sub(r"{{ *(\w+) *}}", "15", command) + "\n)")
