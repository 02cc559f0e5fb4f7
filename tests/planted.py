"""A key that must not get out, searched for in the files a run leaves: in its encodings, and inside what is compressed."""

from __future__ import annotations

import base64
import io
import json
import re
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Iterator
from urllib.parse import quote


def needles(key: str) -> set[bytes]:
    """How a key, or half of one, may stand in a file, in small letters: as it is, escaped, reversed, base64 at each offset, hex, UTF-16 and UTF-32."""
    found: set[bytes] = set()
    for part in (key, key[: len(key) // 2], key[len(key) // 2 :]):
        raw = part.encode()
        for text in (
            part, part[::-1], quote(part, safe=""), quote(quote(part, safe=""), safe=""), json.dumps(part)[1:-1],
            "".join(f"\\u{ord(c):04x}" for c in part), "".join(f"%{b:02x}" for b in raw), raw.hex(), raw.hex(" "),
        ):  # fmt: skip
            found.add(text.lower().encode())
        found |= {part.lower().encode(code) for code in ("utf-16-le", "utf-16-be", "utf-32-le")}
        for offset in range(3):
            # The characters that depend on the neighbours are left out.
            inner = base64.b64encode(b"\0" * offset + raw)[(0, 2, 3)[offset] : -4].lower()
            found |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


def unpacked(content: bytes, name: str = "") -> Iterator[tuple[str, bytes]]:
    """The bytes of a file, and of everything in it that is compressed or paged: gzip, zip, Parquet, SQLite, PNG text, PDF streams; each with its place."""
    yield name, content
    if content.startswith(b"\x1f\x8b"):
        yield from unpacked(zlib.decompressobj(31).decompress(content), f"{name}|gzip")
    elif content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.namelist():
                yield from unpacked(archive.read(entry), f"{name}|{entry}")
    elif content.startswith(b"PAR1"):
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(io.BytesIO(content))
        yield f"{name}|rows", json.dumps([table.to_pylist(), str(table.schema.metadata)], default=str, ensure_ascii=False).encode()
    elif content.startswith(b"SQLite format 3\0"):
        connection = sqlite3.connect(":memory:")
        connection.deserialize(content[:18] + b"\1\1" + content[20:])  # a copy in memory has no write-ahead log
        yield f"{name}|dump", "\n".join(connection.iterdump()).encode()
        connection.close()
    elif content.startswith(b"\x89PNG\r\n\x1a\n"):
        place = 8
        while place < len(content):
            size, kind = struct.unpack(">I4s", content[place : place + 8])
            if kind in (b"zTXt", b"iTXt"):
                for packed in re.finditer(rb"\x78[\x01\x5e\x9c\xda]", body := content[place + 8 : place + 8 + size]):
                    yield f"{name}|{kind.decode()}", _inflated(body[packed.start() :])
            place += 12 + size
    elif content.startswith(b"%PDF"):
        for stream in re.finditer(rb"stream\r?\n", content):
            yield f"{name}|stream", _inflated(content[stream.end() :])


def _inflated(content: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(content)
    except zlib.error:
        return b""


def places_of(key: str, content: bytes, name: str = "") -> list[str]:
    """Where a key is found in a file."""
    return [place for place, found in unpacked(content, name) if any(needle in found.lower() for needle in needles(key))]
