"""A tiny writer of MMDB files, for tests: write(path, {"192.0.2.0/24": {...}}), values of any shape."""
import ipaddress
import struct


def control(kind, size):
    extended = kind > 7
    first = 0 if extended else kind << 5
    rest = bytes([kind - 7]) if extended else b""
    if size < 29:
        return bytes([first | size]) + rest
    for code, base, count in ((29, 29, 1), (30, 285, 2), (31, 65821, 3)):
        if size - base < 1 << 8 * count:
            return bytes([first | code]) + rest + (size - base).to_bytes(count, "big")
    raise ValueError(size)


def encode(value):
    if isinstance(value, bool):
        return control(14, int(value))
    if isinstance(value, int):
        raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
        return control(6 if value < 1 << 32 else 9, len(raw)) + raw
    if isinstance(value, float):
        return control(3, 8) + struct.pack(">d", value)
    if isinstance(value, str):
        return control(2, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return control(11, len(value)) + b"".join(map(encode, value))
    return control(7, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())


def record_pair(left, right, size):
    if size == 28:
        return ((left & 0xffffff).to_bytes(3, "big") + bytes([left >> 24 << 4 | right >> 24]) +
                (right & 0xffffff).to_bytes(3, "big"))
    return left.to_bytes(size // 8, "big") + right.to_bytes(size // 8, "big")


def build(networks, record_size=24, version=6, **metadata):
    nodes, data, offsets = [[None, None]], b"", {}
    for network, value in networks.items():
        network = ipaddress.ip_network(network)
        bits = format(int(network.network_address), f"0{network.max_prefixlen}b")[:network.prefixlen]
        if network.version == 4 and version == 6:
            bits = "0" * 96 + bits
        raw = encode(value)
        if raw not in offsets:
            offsets[raw] = len(data)
            data += raw
        at = 0
        for bit in bits[:-1]:
            if not isinstance(nodes[at][int(bit)], int):
                nodes.append([nodes[at][int(bit)]] * 2)
                nodes[at][int(bit)] = len(nodes) - 1
            at = nodes[at][int(bit)]
        nodes[at][int(bits[-1])] = (offsets[raw],)
    count = len(nodes)

    def number(record):
        return count if record is None else record if isinstance(record, int) else count + 16 + record[0]
    tree = b"".join(record_pair(number(left), number(right), record_size) for left, right in nodes)
    head = {"binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1700000000,
            "database_type": "Test", "description": {"en": "made by a test"}, "ip_version": version,
            "languages": ["en"], "node_count": count, "record_size": record_size, **metadata}
    return tree + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + encode(head)


def country(code, continent="EU"):
    return {"continent": {"code": continent}, "country": {"iso_code": code, "names": {"en": code}}}


def network(number, name):
    return {"autonomous_system_number": number, "autonomous_system_organization": name}
