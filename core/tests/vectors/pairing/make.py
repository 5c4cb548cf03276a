#!/usr/bin/env python3
"""Computes the worked example of PROTOCOL.md, section 13, in another language and with other libraries than the crate:
Python's hashlib and hmac, P-256 and its map SSWU from RFC 9380 in this file, and pip's `cryptography` for
ChaCha20-Poly1305. The vector is frozen: if a test fails, it is not the vector that has to change.

    python3 make.py      # checks itself with the vectors of the draft in ../cpace, and writes example.txt
"""

import hashlib
import hmac
import struct
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
A, B, Z = P - 3, 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B, P - 10


def add(one, other):
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    slope = (3 * x1 * x1 + A) * pow(2 * y1, -1, P) if one == other else (y2 - y1) * pow(x2 - x1, -1, P)
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def multiply(scalar, point):
    product = None
    for bit in bin(scalar)[2:]:
        product = add(product, product)
        if bit == "1":
            product = add(product, point)
    return product


def number(value):
    return value.to_bytes(32, "big")


def uncompressed(point):
    return b"\x04" + number(point[0]) + number(point[1])


def square_root(value):
    root = pow(value, (P + 1) // 4, P)
    return root if root * root % P == value % P else None


def expand_message_xmd(message, dst, length):
    """RFC 9380, section 5.3.1, for lengths of 33 to 64."""
    prime = dst + bytes([len(dst)])
    first = hashlib.sha256(bytes(64) + message + struct.pack(">H", length) + b"\0" + prime).digest()
    one = hashlib.sha256(first + b"\1" + prime).digest()
    two = hashlib.sha256(bytes(a ^ b for a, b in zip(first, one)) + b"\2" + prime).digest()
    return (one + two)[:length]


def encode_to_curve(message, dst):
    """RFC 9380, sections 5.2 and 6.6.2: P256_XMD:SHA-256_SSWU_NU_."""
    u = int.from_bytes(expand_message_xmd(message, dst, 48), "big") % P
    curve = lambda x: (x * x * x + A * x + B) % P
    t = (Z * Z * pow(u, 4, P) + Z * u * u) % P
    x = (-B * pow(A, -1, P) * (1 + pow(t, -1, P))) % P if t else B * pow(Z * A, -1, P) % P
    if square_root(curve(x)) is None:
        x = Z * u * u * x % P
    y = square_root(curve(x))
    return (x, y) if y % 2 == u % 2 else (x, P - y)


def lv(*parts):
    return b"".join(bytes([len(part)]) + part for part in parts)


DSI = b"CPaceP256_XMD:SHA-256_SSWU_NU_"


def generator_string(prs, ci, sid):
    padding = bytes(max(0, 64 - 1 - len(lv(prs)) - len(lv(DSI))))
    return lv(DSI, prs, padding, ci, sid)


def session_key(sid, k, share_a, ad_a, share_b, ad_b):
    return hashlib.sha256(lv(DSI + b"_ISK", sid, k) + lv(share_a, ad_a) + lv(share_b, ad_b)).digest()


def cpace(prs, ci, sid, ya, ad_a, yb, ad_b):
    string = generator_string(prs, ci, sid)
    g = encode_to_curve(string, DSI + b"_DST")
    share_a, share_b = multiply(ya, g), multiply(yb, g)
    k = number(multiply(ya, share_b)[0])
    assert k == number(multiply(yb, share_a)[0])
    share_a, share_b = uncompressed(share_a), uncompressed(share_b)
    isk = session_key(sid, k, share_a, ad_a, share_b, ad_b)
    return {"generator_string": string, "g": uncompressed(g), "Ya": share_a, "Yb": share_b, "K": k, "ISK": isk}


def check_draft():
    text = Path(__file__).parent.parent.joinpath("cpace", "p256.txt").read_text().split("\n\n")[1]
    draft = {name: bytes.fromhex(value) for name, value in (line.split(" = ") for line in text.splitlines())}
    scalars = [int.from_bytes(draft[name], "big") for name in ["ya", "yb"]]
    ours = cpace(draft["PRS"], draft["CI"], draft["sid"], scalars[0], draft["ADa"], scalars[1], draft["ADb"])
    draft["ISK"] = draft["ISK_IR"]
    assert all(draft[name] == value for name, value in ours.items())


class Seeded:
    """SplitMix64 (Steele, Lea, Flood 2014), one byte a step: the entropy of the tests."""

    def __init__(self, seed):
        self.state = seed

    def byte(self):
        mask = 2**64 - 1
        self.state = self.state + 0x9E3779B97F4A7C15 & mask
        z = (self.state ^ self.state >> 30) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
        return (z ^ z >> 31) & 255

    def fill(self, length):
        return bytes(self.byte() for _ in range(length))

    def scalar(self):
        while not 0 < (scalar := int.from_bytes(self.fill(32), "big")) < N:
            pass
        return scalar


def mac(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def part(message):
    return struct.pack(">H", len(message)) + message


def introduction(kind, sends, receives, name, certificate):
    return bytes([kind, sends, receives]) + lv(name, certificate)


def example():
    code, dialer, listener = b"123456", Seeded(1), Seeded(2)
    hello = bytes([0, 1, 1]) + listener.fill(32)
    greeting = bytes([1, 1]) + dialer.fill(32)
    sid = hashlib.sha256(b"waft/1 pairing" + part(hello) + part(greeting)).digest()
    ya, yb = dialer.scalar(), listener.scalar()
    computed = cpace(code, b"waft/1 pairing", sid, ya, b"dialer", yb, b"listener")
    prk = mac(bytes(32), computed["ISK"])
    okm = lambda label: mac(prk, b"waft/1 pairing " + label, sid, b"\1")
    seal = lambda key, plain: ChaCha20Poly1305(key).encrypt(bytes(12), plain, b"")
    dialer_introduction = introduction(0, 1, 0, b"anna", b"\x5e" * 32)
    listener_introduction = introduction(1, 0, 1, b"desk", b"\x4e" * 32)
    return {
        "code": "123 456",
        "preface": b"WAFT\x02\0\0\0",
        "Hello": hello,
        "Greeting": greeting,
        "sid": sid,
        "generator string": computed["generator_string"],
        "generator": computed["g"],
        "dialer's scalar": number(ya),
        "Share (dialer)": b"\2" + computed["Ya"],
        "listener's scalar": number(yb),
        "Share (listener)": b"\2" + computed["Yb"],
        "K": computed["K"],
        "ISK": computed["ISK"],
        "Confirm (dialer)": b"\3" + okm(b"dialer confirm"),
        "Confirm (listener)": b"\3" + okm(b"listener confirm"),
        "dialer key": okm(b"dialer key"),
        "plain (dialer)": dialer_introduction,
        "sealed (dialer)": seal(okm(b"dialer key"), dialer_introduction),
        "listener key": okm(b"listener key"),
        "plain (listener)": listener_introduction,
        "sealed (listener)": seal(okm(b"listener key"), listener_introduction),
        "Done": b"\4" + okm(b"done"),
    }


check_draft()
rows = [f"{name} = {value.hex() if isinstance(value, bytes) else value}" for name, value in example().items()]
head = ["# Made by make.py from PROTOCOL.md, section 13. Frozen: if a test fails, do not change the vector.", ""]
Path(__file__).with_name("example.txt").write_text("\n".join(head + rows) + "\n")
