#!/usr/bin/env python3
"""Makes the vectors in this folder from PROTOCOL.md, sections 7 and 9, in another language and with other libraries
than the crate (Python's hashlib and hmac; pip's `cryptography` for the AEADs and P-256). The vectors are frozen: if a
test fails, it is not the vector that has to change.

    python3 make.py      # writes schedule.txt, sealed_key.txt, chunks.txt, lz4.txt, name.txt and file.txt
"""

import hashlib
import hmac
import struct
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

FROZEN = "Made by make.py from PROTOCOL.md. Frozen: if a test fails, do not change the vector."


def mac(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def expand(prk, info, length):
    okm, block, counter = b"", b"", 1
    while len(okm) < length:
        block = mac(prk, block, info, bytes([counter]))
        okm, counter = okm + block, counter + 1
    return okm[:length]


def part(message):
    return struct.pack(">H", len(message)) + message


def schedule(secret, transcript):
    prk = mac(bytes(32), secret)
    okm = lambda label, length: expand(prk, label + transcript, length)
    return {
        "chunk_key": okm(b"waft/1 chunk key", 32),
        "nonce_prefix": okm(b"waft/1 chunk nonce", 7),
        "commitment": okm(b"waft/1 commitment", 32),
        "manifest_key": okm(b"waft/1 manifest tag", 32),
        "accept_key": okm(b"waft/1 accept", 32),
        "base_key": okm(b"waft/1 base", 32),
        "name_key": okm(b"waft/1 name", 32),
    }


def labeled_extract(suite, salt, label, ikm):
    return mac(salt or bytes(32), b"HPKE-v1", suite, label, ikm)


def labeled_expand(suite, prk, label, info):
    return expand(prk, struct.pack(">H", 32) + b"HPKE-v1" + suite + label + info, 32)


def hpke_secret(ephemeral, enc, receiver, info, context):
    curve = ec.SECP256R1()
    public = ec.EllipticCurvePublicKey.from_encoded_point(curve, receiver)
    dh = ec.derive_private_key(int.from_bytes(ephemeral, "big"), curve).exchange(ec.ECDH(), public)
    kem, suite = b"KEM\x00\x10", b"HPKE\x00\x10\x00\x01\xff\xff"
    shared = labeled_expand(kem, labeled_extract(kem, b"", b"eae_prk", dh), b"shared_secret", enc + receiver)
    hashes = labeled_extract(suite, b"", b"psk_id_hash", b"") + labeled_extract(suite, b"", b"info_hash", info)
    exporter = labeled_expand(suite, labeled_extract(suite, shared, b"secret", b""), b"exp", b"\x00" + hashes)
    return labeled_expand(suite, exporter, b"sec", context)


def seal(aead, key, prefix, counter, last, codec, data):
    cipher = AESGCM(key) if aead == 1 else ChaCha20Poly1305(key)
    nonce = prefix + struct.pack(">I", counter) + bytes([last])
    return cipher.encrypt(nonce, data + bytes([codec]), b"")


def varint(number):
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def pattern(length, seed):
    """Bytes that LZ4 does not shrink: SHA-256 in counter mode."""
    blocks = (hashlib.sha256(seed + struct.pack(">I", i)).digest() for i in range(length // 32 + 1))
    return b"".join(blocks)[:length]


def write(name, expect, blocks):
    lines = ["# " + line for line in [FROZEN, *expect]]
    for block in blocks:
        lines.append("")
        lines += [f"{key} = {value.hex() if isinstance(value, bytes) else value}".rstrip() for key, value in block.items()]
    Path(__file__).with_name(name).write_text("\n".join(lines) + "\n")


KEY, SALT, ITERATIONS = b"0123456789ABCDEF", pattern(32, b"salt"), 1000
SECRET = hashlib.pbkdf2_hmac("sha256", KEY, SALT, ITERATIONS, 32)


def session_vector():
    said = [pattern(67, b"hello"), pattern(130, b"greeting"), pattern(41, b"offer")]
    ends = [pattern(32, b"sender"), pattern(32, b"receiver")]
    transcript = hashlib.sha256(b"waft/1 session" + b"".join(map(part, said)) + b"".join(ends)).digest()
    keys = schedule(SECRET, transcript)
    manifest, prefix, offset = pattern(32, b"manifest"), pattern(32, b"prefix"), 0x0102030405
    tags = {
        "manifest": manifest,
        "manifest_tag": mac(keys["manifest_key"], manifest),
        "offset": offset,
        "prefix": prefix,
        "accept_mac": mac(keys["accept_key"], struct.pack(">Q", offset), prefix, b"\x01"),
        "base_mac": mac(keys["base_key"], struct.pack(">I", 0), manifest, struct.pack(">I", 7), prefix),
    }
    typed = {"key": KEY.decode(), "salt": SALT, "iterations": ITERATIONS, "secret": SECRET}
    names = ["hello", "greeting", "offer_body", "sender", "receiver"]
    write("schedule.txt", ["A typed key, what is said, and all keys of the session."],
          [{**typed, **dict(zip(names, said + ends)), "transcript": transcript, **keys, **tags}])


def sealed_key_vector():
    rfc = Path(__file__).parent.parent.joinpath("rfc9180", "p256_base.txt").read_text().split("\n\n")
    last = dict(line.split(" = ") for line in rfc[-1].strip().splitlines())
    vector = {name: bytes.fromhex(last[name]) for name in ["skRm", "pkRm", "skEm", "enc"]}
    secret = hpke_secret(vector["skEm"], vector["enc"], vector["pkRm"], b"waft/1 hpke", b"waft/1 secret")
    write("sealed_key.txt", ["The secret of mode sealed, for the key pairs of RFC 9180's export-only vector."],
          [{**vector, "secret": secret}])


def chunk_vectors():
    key, prefix, archive = pattern(32, b"chunk key"), pattern(7, b"nonce"), pattern(2500, b"archive")
    blocks = []
    for aead in [1, 2]:
        for position in [0, 1000]:
            start = {"aead": aead, "key": key, "prefix": prefix, "position": position, "total": len(archive)}
            cuts = list(range(position, len(archive), 1024))
            chunks = [seal(aead, key, prefix, i, at == cuts[-1], 0, archive[at:at + 1024]) for i, at in enumerate(cuts)]
            blocks.append({**start, **{f"chunk_{i}": chunk for i, chunk in enumerate(chunks)}})
    write("chunks.txt", ["Raw chunks of 1024 bytes of the same archive, whole and resumed; the last one is shorter.",
                         "archive: SHA-256(\"archive\" | i as u32 big-endian) for i = 0, 1, ...; its first 2500 bytes."], blocks)
    # 1024 bytes "waftwaft...": four literals, a match of 1015 bytes 4 back, five literals.
    block = b"\x4fwaft\x04\x00\xff\xff\xff\xe7\x50twaft"
    write("lz4.txt", ["One chunk of codec 1, the last of its archive: 1024 bytes \"waftwaft...\"."],
          [{"aead": 2, "key": key, "prefix": prefix, "chunk": seal(2, key, prefix, 0, 1, 1, block)}])


def name_vectors():
    key = pattern(32, b"name key")
    names = [(1, b"photos"), (2, "na\u00efve \u65e5\u672c".encode()), (2, b"n" * 255)]
    ciphers = {1: AESGCM(key), 2: ChaCha20Poly1305(key)}
    write("name.txt", ["Sealed names of folders; the last one has the greatest length."],
          [{"aead": aead, "key": key, "name": name,
            "sealed": ciphers[aead].encrypt(bytes(12), name.ljust(255, b"\x00"), b"")} for aead, name in names])


def file_vector():
    fields = {"iterations": 200000, "salt": SALT, "aead": 2, "codec": 1, "chunk": 65536, "created": 1767225600,
              "total": 1 << 33, "files": 1000, "entries": 1234, "manifest": 70000}
    numbers = {name: value if isinstance(value, bytes) else varint(value) for name, value in fields.items()}
    header = b"\x01" + b"".join(numbers.values())
    transcript = hashlib.sha256(b"waft/1 file" + b"WAFTSEAL" + part(header)).digest()
    write("file.txt", ["A sealed file's start; its keys under the secret of schedule.txt."],
          [{**fields, "start": b"WAFTSEAL" + part(header), "secret": SECRET, "transcript": transcript,
            **schedule(SECRET, transcript)}])


session_vector()
sealed_key_vector()
chunk_vectors()
name_vectors()
file_vector()
