"""Reads a UF2 or Intel HEX file, independently of waft, and compares it with the program in an ELF file.

Usage: flash_file.py FILE ELF

Fails if the file breaks the rules of its format, or does not have each byte of the program's loadable segments at its physical
address. Prints what the file has as JSON: {"format": ..., "family": ..., "areas": [[address, "hexadecimal bytes"], ...]}.
"""

import json
import struct
import sys

PAGE, SECTOR = 256, 4096


def read_uf2(data):
    assert len(data) % 512 == 0, "whole blocks"
    memory, families = {}, set()
    count = len(data) // 512
    for number in range(count):
        block = data[512 * number : 512 * number + 512]
        first, second, flags, address, length, own, total, family = struct.unpack_from("<8I", block)
        (last,) = struct.unpack_from("<I", block, 508)
        assert (first, second, last) == (0x0A324655, 0x9E5D5157, 0x0AB16F30), "magic numbers"
        assert flags == 0x2000, "the family, and nothing else"
        assert (own, total) == (number, count), "numbers of blocks"
        assert length == PAGE and address % PAGE == 0, "whole pages"
        assert block[32 + PAGE : 508] == bytes(508 - 32 - PAGE), "zeros behind the payload"
        families.add(family)
        for index, byte in enumerate(block[32 : 32 + PAGE]):
            assert address + index not in memory, "each address once"
            memory[address + index] = byte
    assert len(families) == 1, "one family"
    sectors = {address // SECTOR for address in memory}
    assert len(memory) == len(sectors) * SECTOR, "whole sectors"
    return memory, families.pop()


def read_hex(data):
    memory, upper, ended = {}, 0, False
    for line in data.decode("ascii").splitlines():
        assert line.startswith(":") and not ended
        record = bytes.fromhex(line[1:])
        assert sum(record) % 256 == 0, "checksum"
        length, address, kind = struct.unpack_from(">BHB", record)
        content = record[4:-1]
        assert len(content) == length
        if kind == 0:
            assert address + length <= 0x10000, "no line crosses 64 KiB"
            for index, byte in enumerate(content):
                assert upper + address + index not in memory, "each address once"
                memory[upper + address + index] = byte
        elif kind == 1:
            ended = True
        else:
            assert kind == 4 and length == 2
            upper = int.from_bytes(content, "big") << 16
    assert ended, "the end"
    return memory, None


def segments(data):
    assert data[:6] == b"\x7fELF\x01\x01"
    (start,) = struct.unpack_from("<I", data, 28)
    size, count = struct.unpack_from("<HH", data, 42)
    for index in range(count):
        kind, offset, _, address, length = struct.unpack_from("<5I", data, start + size * index)
        if kind == 1:
            yield address, data[offset : offset + length]


def areas(memory):
    found = []
    for address in sorted(memory):
        if not found or found[-1][0] + len(found[-1][1]) != address:
            found.append((address, bytearray()))
        found[-1][1].append(memory[address])
    return [[address, content.hex()] for address, content in found]


def main():
    file, elf = (open(path, "rb").read() for path in sys.argv[1:3])
    is_uf2 = file.startswith(b"UF2\n")
    memory, family = read_uf2(file) if is_uf2 else read_hex(file)
    total = 0
    for address, content in segments(elf):
        total += len(content)
        for index, byte in enumerate(content):
            assert memory.get(address + index) == byte, f"{address + index:#x} is not that of the program"
    assert total > 0, "the program has content"
    print(json.dumps({"format": "uf2" if is_uf2 else "hex", "family": family, "areas": areas(memory)}))


main()
