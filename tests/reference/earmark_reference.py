#!/usr/bin/env python3
"""Verifies an Earmark seal from docs/manifest-format.md alone, sharing no code with Earmark.

    earmark_reference.py SEAL_DIR TRUST_TOML [FLOOR_TOML]

Prints "OK <manifest digest>" and exits 0, or "REFUSED <reason>" and exits 10. Needs the packages
`cryptography` and `zstandard`. Section numbers are those of the document.
"""

import base64
import functools
import hashlib
import json
import re
import sys
import tomllib
from pathlib import Path

import zstandard
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

AGENT = (0, 1, 0)
PAYLOAD_TYPE = "application/vnd.in-toto+json"
NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
HEX = r"[0-9a-f]{64}"
P = 2**255 - 19
CURVE_D = -121665 * pow(121666, -1, P)
ORDER_8 = {
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
}
SMALL = ORDER_8 | {y.to_bytes(32, "little") for y in (0, 1, P - 1, P, P + 1)}
SEAL = ["", "/seal", "/seal/manifest.json", "/seal/earmark.toml", "/seal/tree.zst", "/trust.toml", "/floor.toml"]
SEAL = ["seal /usr/lib/earmark" + path for path in SEAL]


class Refused(Exception):
    pass


def need(condition, reason):
    if not condition:
        raise Refused(reason)


def bounded(path, most):
    with open(path, "rb") as file:
        data = file.read(most + 1)
    need(len(data) <= most, f"{path.name} is over its bound")
    return data


# Section 2: JSON and base64.


def strict_json(data):
    def unique(pairs):
        need(len(dict(pairs)) == len(pairs), "duplicate JSON key")
        return dict(pairs)

    def never(text):
        raise Refused(f"not a whole number: {text}")

    def whole(text):
        need(text.isdigit() and int(text) < 2**64, f"number out of range: {text}")
        return int(text)

    try:
        text = data.decode("utf-8")
        need(not text.startswith("\ufeff"), "byte order mark")
        value = json.loads(
            text, object_pairs_hook=unique, parse_float=never, parse_int=whole, parse_constant=never
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # fails on a lone surrogate
        return value
    except (ValueError, RecursionError) as error:
        raise Refused(f"not JSON: {error}") from error


def fields(value, required, optional=()):
    need(isinstance(value, dict), "an object belongs here")
    need(set(required) <= set(value) <= set(required) | set(optional), f"other fields than {required}")
    return [value[name] for name in required]


def text(value, pattern, what):
    need(isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII), f"{what} is not as it should be")
    return value


def count(value, what):
    need(type(value) is int, f"{what} is no number")
    return value


def unbase64(value):
    need(isinstance(value, str), "base64 is a string")
    try:
        decoded = base64.b64decode(value, validate=True)
    except ValueError as error:
        raise Refused(f"not base64: {error}") from error
    need(base64.b64encode(decoded).decode() == value, "not canonical base64")
    return decoded


# Section 7: trust.


def trust_file(data):
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Refused(f"not TOML: {error}") from error
    schema, threshold, listed = fields(document, ["schema", "threshold", "key"], ["image"])
    need(type(schema) is int and schema == 1 and type(threshold) is int, "schema or threshold")
    need(isinstance(listed, list) and 1 <= len(listed) <= 16, "1 to 16 keys")
    if "image" in document:
        text(document["image"], NAME, "trust: image")
    keys = {}
    for entry in listed:
        purposes, public = fields(entry, ["purposes", "public"])
        need(isinstance(purposes, list) and purposes, "a key has purposes")
        need(all(purpose in ("image", "channel", "grant") for purpose in purposes), "unknown purpose")
        key, spki = public_key(public)
        need(spki not in keys, "a key is there twice")
        keys[spki] = (key, set(purposes))
    for purpose in ("image", "channel", "grant"):
        having = sum(purpose in purposes for _, purposes in keys.values())
        need(having == 0 or 1 <= threshold <= having, "threshold cannot be met, or need not be")
    return document.get("image"), threshold, [key for key, purposes in keys.values() if "image" in purposes]


def public_key(pem):
    need(isinstance(pem, str), "a key is text")
    block = re.search(r"-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/=\n]+)\n-----END PUBLIC KEY-----\n?\Z", pem)
    need(block and pem.count("-----BEGIN") == 1, "not one PEM block PUBLIC KEY")
    spki = unbase64(block[1].replace("\n", ""))
    if spki.startswith(bytes.fromhex("302a300506032b6570032100")) and len(spki) == 44:
        y = spki[12:31] + spki[31:43] + bytes([spki[43] & 0x7F])
        need(y not in SMALL, "key of small order")
        square = int.from_bytes(y, "little") ** 2
        need(square < P * P, "key is not canonical")
        need(pow((square - 1) * (CURVE_D * square + 1), (P - 1) // 2, P) == 1, "key is not on the curve")
    else:
        prefix = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
        need(spki.startswith(prefix) and len(spki) == 91, "neither Ed25519 nor uncompressed P-256")
    try:
        return serialization.load_der_public_key(spki), spki
    except ValueError as error:
        raise Refused(f"key: {error}") from error


def signed_by(key, signature, message):
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
        else:
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        return True
    except InvalidSignature:
        return False


# Section 2: "To verify".


def verify(seal, trust_path, floor_path=None):
    trust_bytes = bounded(trust_path, 65_536)
    envelope_bytes = bounded(seal / "manifest.json", 65_536)
    declaration = bounded(seal / "earmark.toml", 262_144)
    stored = bounded(seal / "tree.zst", 536_870_912)

    image, threshold, keys = trust_file(trust_bytes)
    payload_type, payload, signatures = fields(
        strict_json(envelope_bytes), ["payloadType", "payload", "signatures"]
    )
    need(payload_type == PAYLOAD_TYPE, "payloadType")
    payload = unbase64(payload)
    need(len(payload) <= 4_000, "payload over 4,000 bytes")
    need(isinstance(signatures, list) and 1 <= len(signatures) <= 16, "1 to 16 signatures")
    found = []
    for signature in signatures:
        (sig,) = fields(signature, ["sig"], ["keyid"])
        need(isinstance(signature.get("keyid", ""), str), "keyid is text")
        found.append(unbase64(sig))
    head = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode()
    signers = sum(any(signed_by(key, sig, head + payload) for sig in found) for key in keys)
    need(signers >= max(threshold, 1), f"{signers} of {threshold} needed signatures")

    statement = read_statement(strict_json(payload))
    need(statement["agent"] <= AGENT, "this reader is too old")
    need(image in (None, statement["name"]), "the trust file is for another image")
    need(hashlib.sha256(declaration).hexdigest() == statement["earmark.toml"], "earmark.toml is another")
    need(hashlib.sha256(stored).hexdigest() == statement["tree.zst"], "tree.zst is another")
    try:
        declared = tomllib.loads(declaration.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Refused(f"earmark.toml: {error}") from error
    need(isinstance(declared.get("image"), dict), "earmark.toml: no image")
    need(declared["image"].get("name") == statement["name"], "name in earmark.toml")
    need(declared["image"].get("epoch", 0) == statement["epoch"], "epoch in earmark.toml")
    boot = declared.get("boot", {})
    need(isinstance(boot, dict) and set(boot) <= {"cmdline", "initrd", "verity"}, "earmark.toml: boot")
    need(boot.get("initrd", "none") in INITRDS, "earmark.toml: boot.initrd")
    need(type(boot.get("verity", False)) is bool, "earmark.toml: boot.verity")
    verify = declared.get("verify", {})
    need(isinstance(verify, dict), "earmark.toml: verify")
    need(verify.get("on_corruption", "report") in POLICIES, "earmark.toml: verify.on_corruption")
    line = boot.get("cmdline", "")
    need(isinstance(line, str), "earmark.toml: boot.cmdline")
    if words := re.findall(r"[^\t\n\r ]+", line):
        need(" ".join(words) == statement["cmdline"], "command line in earmark.toml")
    if floor_path:
        check_floor(bounded(floor_path, 524_288), statement, declared)
    need(read_tree(stored) == (statement["entries"], statement["bytes"]), "summary of the tree")
    return "sha256:" + hashlib.sha256(payload).hexdigest()


# Section 7.1.

LOCKS = "accounts cloud_init filesystems imds kernel packages remote_access schedules".split()
POLICIES = ["report", "quarantine", "halt"]
INITRDS = ["none", "earmark-init", "initramfs-tools", "dracut"]


def check_floor(data, statement, declared):
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Refused(f"floor.toml: {error}") from error
    names = ["schema", "image", "epoch", "policy", "channel", "locks"]
    schema, image, epoch, policy, channel, locks = fields(document, names)
    need(type(schema) is int and schema == 1, "floor.toml: schema")
    need(all(type(number) is int and 0 <= number < 2**64 for number in (epoch, channel)), "floor.toml: number")
    need(policy in POLICIES and isinstance(locks, dict) and set(locks) <= set(LOCKS), "floor.toml: policy or lock")
    need(image == statement["name"], "the floor is of another image")
    need(statement["epoch"] >= epoch, "epoch below the floor")
    found = declared.get("verify", {}).get("on_failure", "report")
    need(POLICIES.index(found) >= POLICIES.index(policy), "policy below the floor")
    for name, most in locks.items():
        lock = declared.get("lockdown", {}).get(name, "deny")
        excepted = next(iter(lock.values()), []) if isinstance(lock, dict) else []
        need(lock != "allow" and set(excepted) <= set(most), f"lock {name} below the floor")


# Section 3.


def read_statement(document):
    kind, subject, predicate_type, predicate = fields(
        document, ["_type", "subject", "predicateType", "predicate"]
    )
    need(kind == "https://in-toto.io/Statement/v1", "_type")
    need(predicate_type == "urn:earmark:image-manifest:v1", "predicateType")
    need(isinstance(subject, list) and len(subject) == 2, "two subjects")
    result = {}
    for element, expected in zip(subject, ["tree.zst", "earmark.toml"]):
        name, digest = fields(element, ["name", "digest"])
        need(name == expected, f"subject {expected}")
        result[expected] = text(fields(digest, ["sha256"])[0], HEX, "digest")
    image, build, parent, tree, boot, agent = fields(
        predicate, ["image", "build", "parent", "tree", "boot", "minimumAgent"]
    )
    name, version, epoch, architecture = fields(image, ["name", "version", "epoch", "architecture"])
    result["name"] = text(name, NAME, "name")
    text(version, r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}", "version")
    result["epoch"] = count(epoch, "epoch")
    need(architecture in ("x86_64", "aarch64"), "architecture")
    revision, builder, time = fields(build, ["revision", "builder", "time"])
    for line in (revision, builder):
        need(line is None or text(line, r"[ -~]{1,256}", "build"), "build")
    need(time is None or count(time, "time") >= 0, "time")
    need(parent is None or text(parent, "sha256:" + HEX, "parent"), "parent")
    entries, total = fields(tree, ["entries", "bytes"])
    result["entries"], result["bytes"] = count(entries, "entries"), count(total, "bytes")
    result["cmdline"] = boot and command_line(fields(boot, ["cmdline"])[0])
    need(boot is None or result["cmdline"], "boot")
    number = r"(0|[1-9][0-9]{0,9})"
    result["agent"] = tuple(map(int, text(agent, rf"{number}\.{number}\.{number}", "minimumAgent").split(".")))
    need(max(result["agent"]) < 2**32, "minimumAgent")
    return result


def command_line(line):
    need(isinstance(line, str) and 1 <= len(line) <= 2_048, "command line")
    words = line.split(" ")
    need(len(words) <= 256, "command line of too many words")
    for word in words:
        need(re.fullmatch(r"\??[!->@-~][!-~]*", word, re.ASCII) and word != "?--", "command line: word")
        name = word.removeprefix("?").split("=")[0]
        need(name and "*" not in name, "command line: wildcard")
    return line


# Section 4: the grammar as regular expressions; what they cannot say is below.

E = rb"(?:[!-.0-\[\]-~]|\\x[0-9a-f]{2})"
N = rb"(?:0|[1-9][0-9]*)"
D = rb"[0-9a-f]{64}"
RULE = re.compile(
    rb"(sealed|mutable|generated|rendered|state|seal|critical) ((?:/" + E + rb"+)+)"
    rb"(?: type=(d?f?l?))?(?: mode=(0|[1-7][0-7]{0,3}))?(?: uid=(" + N + rb"))?(?: gid=(" + N + rb"))?"
)
OWN = """
/usr/lib/earmark/**
/usr/bin/earmark*
/usr/sbin/earmark*
/bin/earmark*
/sbin/earmark*
/usr/lib/systemd/system-generators/earmark*
/lib/systemd/system-generators/earmark*
/usr/local/lib/systemd/system-generators/earmark*
/etc/systemd/system-generators/earmark*
/usr/lib/systemd/system/earmark*
/usr/lib/systemd/system/earmark*/**
/usr/lib/systemd/system/*/earmark*
/lib/systemd/system/earmark*
/lib/systemd/system/earmark*/**
/lib/systemd/system/*/earmark*
/usr/local/lib/systemd/system/earmark*
/usr/local/lib/systemd/system/earmark*/**
/usr/local/lib/systemd/system/*/earmark*
/etc/systemd/system/earmark*
/etc/systemd/system/earmark*/**
/etc/systemd/system/*/earmark*
/etc/systemd/system.control/earmark*
/etc/systemd/system.control/earmark*/**
/usr/lib/systemd/system/service.d/**
/lib/systemd/system/service.d/**
/usr/local/lib/systemd/system/service.d/**
/etc/systemd/system/service.d/**
/usr/lib/systemd/systemd*
/usr/lib/systemd/libsystemd*
/usr/lib/*/systemd/libsystemd*
/usr/lib64/systemd/libsystemd*
/lib/systemd/systemd*
/lib/systemd/libsystemd*
/usr/sbin/init
/usr/bin/init
/sbin/init
/bin/init
/etc/systemd/system.conf
/etc/systemd/system.conf.d/**
/usr/lib/systemd/system.conf.d/**
/usr/lib/systemd/system.conf
/usr/local/lib/systemd/system.conf.d/**
/etc/ld.so.preload
/usr/lib/*/ld-linux*
/usr/lib/*/libc.so.6
/usr/lib64/ld-linux*
/usr/lib64/libc.so.6
/lib/*/ld-linux*
/lib/*/libc.so.6
/lib64/ld-linux*
/lib64/libc.so.6
""".split()
OWNER = {True: rb" (?:0|[1-7][0-7]{0,3}) (" + N + rb") (" + N + rb")", False: rb" - - -"}
FILE = rb" (" + N + rb") " + D + rb" " + D + rb" (?:-|([1-9][0-9]*))"
DATA = {
    b"f": FILE,
    b"l": rb" - ((?:" + E + rb"|/)+) - -",
    b"c": rb" - (" + N + rb"):(" + N + rb") - -",
    b"d": rb" - - - -",
}
DATA |= {b"b": DATA[b"c"], b"p": DATA[b"d"], b"s": DATA[b"d"]}
XATTRS = [b"security.capability", b"security.selinux", b"system.posix_acl_access", b"system.posix_acl_default"]
XATTR = rb"(?: [a-z_.]+=(?:" + E + rb"|/)+)*"


def line_of(kind, cls):
    recorded = cls in (b"sealed", b"rendered")
    need(cls != b"rendered" or kind == b"f", "only files are rendered")
    rest = DATA[kind] + rb"(?P<xattrs>" + XATTR + rb")" if recorded else DATA[b"d"]
    return re.compile(OWNER[cls != b"state"] + rest)


def unescape(data):
    plain = re.sub(rb"\\x(..)", lambda match: bytes([int(match[1], 16)]), data)
    escapes = (bytes.fromhex(match.decode()) for match in re.findall(rb"\\x(..)", data))
    need(not any(0x21 <= byte[0] <= 0x7E and byte != b"\\" for byte in escapes), "needless escape")
    return plain


def check_path(path):
    need(len(path) <= 4_095 and b"\0" not in path, "path")
    need(all(name not in (b"", b".", b"..") and len(name) <= 255 for name in path.split(b"/")), "path")
    return path


def read_rule(line):
    match = RULE.fullmatch(line)
    need(match, "rule")
    names = check_path(unescape(match[2])[1:]).split(b"/")
    beneath = names[-1] == b"**"
    names = names[:-1] if beneath else names
    need(names and not any(b"**" in name for name in names), "rule: stars")
    need(not re.search(rb"[*?]", names[0]), "rule over the whole root")
    check_attributes(match, any(re.search(rb"[*?]", name) for name in names) or beneath)
    return match[1], names, beneath


def check_attributes(match, is_wide):
    kind, types, mode, uid, gid = match[1], match[3], match[4], match[5], match[6]
    need(types != b"" and all(int(number or 0) < 2**32 for number in (uid, gid)), "rule: attribute")
    bits = int(mode or b"0", 8)
    if kind == b"generated":
        need(bits & ~0o775 == 0, "rule: mode")
    elif kind == b"mutable":
        need(types in (None, b"fl") and mode is uid is gid is None, "rule: attributes of mutable")
    elif kind == b"rendered":
        need(types is None and None not in (mode, uid, gid), "rule: attributes of rendered")
        need(bits & ~0o777 == 0 and not is_wide, "rule: mode or wildcard of rendered")
    else:
        need(types is mode is uid is gid is None, "rule: attributes")


@functools.lru_cache(maxsize=None)
def meet(a, b):
    """Whether some name matches both component patterns."""
    if not a or not b:
        return not (a or b).strip(b"*")
    if a[:1] == b"*" or b[:1] == b"*":
        return meet(a[1:], b) or meet(a, b[1:])
    return (a[:1] == b[:1] or b"?" in (a[:1], b[:1])) and meet(a[1:], b[1:])


def check_own(rules):
    own = [path.encode().split(b"/")[1:] for path in OWN]
    own = [(path[:-1], True) if path[-1] == b"**" else (path, False) for path in own]
    for kind, names, beneath in rules:
        if kind in (b"sealed", b"seal", b"critical"):
            continue
        for path, under in own:
            deep = {
                (False, False): len(names) == len(path),
                (True, False): len(path) > len(names),
                (False, True): len(names) > len(path),
                (True, True): True,
            }[beneath, under]
            need(not (deep and all(map(meet, names, path))), "rule over Earmark's own files")
            above = len(path) > len(names) or (under and len(path) == len(names))
            in_it = all(glob(a, b) or re.search(rb"[*?]", b) for a, b in zip(names, path))
            need(not (kind == b"state" and above and in_it), "state over Earmark's own files")


def glob(pattern, name):
    parts = (re.escape(bytes([byte])) for byte in pattern)
    regex = b"".join({rb"\*": b".*", rb"\?": b"."}.get(part, part) for part in parts)
    return re.fullmatch(regex, name, re.DOTALL)


def matches(rule, path):
    _, names, beneath = rule
    enough = len(path) > len(names) if beneath else len(path) == len(names)
    return enough and all(map(glob, names, path))


def check_rules(rules):
    def literal(rule):
        return not rule[2] and not any(re.search(rb"[*?]", name) for name in rule[1])

    classes = [rule for rule in rules if rule[0] != b"critical"]
    for state in classes:
        if state[0] != b"state":
            continue
        last = [rule for rule in classes if matches(rule, state[1])] if literal(state) else [state]
        if last[-1][0] != b"state":
            continue
        need(not state[2], "state rule that ends in **")
        for kind, names, beneath in rules:
            deeper = len(names) > len(state[1]) or (beneath and len(names) == len(state[1]))
            meet = all(glob(a, b) or re.search(rb"[*?]", b) for a, b in zip(state[1], names))
            need(kind == b"state" or not (deeper and meet), "rule beneath state")


def read_tree(stored):
    need(zstandard.get_frame_parameters(stored).window_size <= 1 << 23, "window")
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 23).decompressobj()
    try:
        content = decompressor.decompress(stored)
    except zstandard.ZstdError as error:
        raise Refused(f"zstd: {error}") from error
    need(decompressor.eof and not decompressor.unused_data, "tree.zst is not exactly one frame")
    need(content.endswith(b"\n") and len(content) <= 2**31, "the tree is truncated")
    lines = content[:-1].split(b"\n")
    need(all(len(line) < 131_072 for line in lines), "line too long")
    lines = iter(lines)

    def number(word, most):
        match = re.fullmatch(word + rb" (" + N + rb")", next(lines, b""))
        need(match and int(match[1]) <= most, f"count of {word.decode()}")
        return int(match[1])

    need(next(lines) == b"earmark-tree 1", "first line")
    rules = [next(lines, b"") for _ in range(number(b"rules", 4_096))]
    need([rule.decode("latin-1") for rule in rules[-7:]] == SEAL, "Earmark's own rules")
    need(not any(rule.startswith(b"seal ") for rule in rules[:-7]), "seal rule")
    rules = [read_rule(rule) for rule in rules]
    check_rules(rules)
    check_own(rules)
    entries = number(b"entries", 4_000_000)
    need(entries >= 1, "no entry")
    previous, total, groups = None, 0, []
    for _ in range(entries):
        path, size = read_entry(next(lines, b""), groups)
        need(previous is None or previous < path, "order")
        need((previous is None) == (path == b""), "the root comes first")
        previous, total = path, total + size
    need(next(lines, None) is None, "something after the last entry")
    need(all(names >= 2 for _, names in groups), "a group of one")
    return entries, total


def read_entry(line, groups):
    parts = line.split(b" ", 3)
    need(len(parts) == 4 and parts[1] in DATA, "type, or too few fields")
    escaped, kind, cls, rest = parts
    need(cls in (b"sealed", b"mutable", b"rendered", b"state"), "class")
    match = line_of(kind, cls).fullmatch(b" " + rest)
    need(match, "fields do not go with type and class")
    need(re.fullmatch(rb"(?:" + E + rb"|/)+", escaped), "path is not escaped")
    path = b"" if escaped == b"." else check_path(unescape(escaped))
    need(path or kind == b"d", "the root is a directory")
    values = list(match.groups())
    if cls == b"state":
        return path, 0
    need(all(int(identity) < 2**32 for identity in values[:2]), "owner")
    if cls == b"mutable":
        return path, 0
    check_xattrs(match["xattrs"])
    if kind in (b"c", b"b"):
        need(all(int(part) < 2**32 for part in values[2:4]), "device")
    if kind == b"l" and values[2] != rb"\x2d":
        target = unescape(values[2])
        need(values[2] != b"-" and len(target) <= 4_095 and b"\0" not in target, "target")
    if kind != b"f":
        return path, 0
    size, group = int(values[2]), values[3]
    need(size < 2**64, "size")
    if group:
        index, same = int(group) - 1, (cls, rest)
        need(index <= len(groups), "group number")
        if index == len(groups):
            groups.append([same, 0])
        need(groups[index][0] == same, "names of one file differ")
        groups[index][1] += 1
    return path, size


def check_xattrs(data):
    pairs = [field.split(b"=", 1) for field in data.split(b" ")[1:]]
    names = [name for name, _ in pairs]
    need(names == [name for name in XATTRS if name in names], "attributes")
    need(all(len(unescape(value)) <= 16_384 for _, value in pairs), "attribute too long")


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    try:
        print("OK", verify(*map(Path, sys.argv[1:])))
    except (Refused, zstandard.ZstdError) as error:
        print("REFUSED", error)
        sys.exit(10)


if __name__ == "__main__":
    main()
