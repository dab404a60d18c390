"""The rosters of audit seals, followed by what docs/audit.md says of them and by nothing else."""
import base64
import hashlib

KEYS = ["ip", "id", "user", "rule", "reason", "status", "action", "host"]
MASK = (1 << 64) - 1


def decoded(text):
    return base64.b64decode(text + "=" * (-len(text) % 4))


def blake(data):
    return hashlib.blake2b(data, digest_size=32).digest()


def siphash(k0, k1, data):
    """SipHash-2-4, 64 bits."""
    v = [k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573]

    def turn(x, bits):
        return (x << bits | x >> (64 - bits)) & MASK

    def rounds(count):
        for _ in range(count):
            v[0], v[2] = (v[0] + v[1]) & MASK, (v[2] + v[3]) & MASK
            v[1], v[3] = turn(v[1], 13) ^ v[0], turn(v[3], 16) ^ v[2]
            v[0] = turn(v[0], 32)
            v[2], v[0] = (v[2] + v[1]) & MASK, (v[0] + v[3]) & MASK
            v[1], v[3] = turn(v[1], 17) ^ v[2], turn(v[3], 21) ^ v[0]
            v[2] = turn(v[2], 32)

    data += bytes(7 - len(data) % 8) + bytes([len(data) & 255])
    for at in range(0, len(data), 8):
        word = int.from_bytes(data[at:at + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 255
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def tag(term):
    name, value = term.split("=", 1)
    return siphash(0x626c6f636b730001, KEYS.index(name), value.encode())


def answers(line, term, root):
    """Numbers of the records, from the first of the interval, that have the term's value; checked against the root."""
    wanted, entries = tag(term), decoded(line["entries"])
    bucket, digest = wanted >> 54, blake(b"\0" + entries)
    assert line["roster"] == term.split("=", 1)[0]
    for beside in map(decoded, line["path"]):
        digest = blake(b"\1" + (beside + digest if bucket % 2 else digest + beside))
        bucket //= 2
    assert digest == decoded(root)
    rows = [entries[at:at + 12] for at in range(0, len(entries), 12)]
    return {int.from_bytes(row[8:], "little") for row in rows if int.from_bytes(row[:8], "little") == wanted}
