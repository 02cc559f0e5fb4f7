"""The search for planted keys finds what it is there to find."""

from __future__ import annotations

import base64
import gzip
import io
import json
import sqlite3
import struct
import zipfile
import zlib
from urllib.parse import quote

import pytest

from tests.planted import places_of

KEY = 'sk-Ab3/+=Z"q-0123456789-tail'
ENCODED = {
    "raw": KEY.encode(), "other case": KEY.swapcase().encode(), "half": KEY[len(KEY) // 2 :].encode(), "reversed": KEY[::-1].encode(),
    "percent": quote(KEY, safe="").encode(), "JSON": json.dumps(f"key {KEY}").encode(), "hex": KEY.encode().hex().upper().encode(),
    "UTF-16": KEY.encode("utf-16"), **{f"base64 at {n}": base64.b64encode(b"u:" * n + b"x" * n + KEY.encode() + b"yz") for n in range(3)},
    "base64 URL": base64.urlsafe_b64encode(KEY.encode()),
}  # fmt: skip


def zipped():
    with zipfile.ZipFile(file := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.gz", gzip.compress(KEY.encode()))
    return file.getvalue()


def parquet():
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": [f"a {KEY}"]}), file := io.BytesIO(), compression="zstd")
    return file.getvalue()


def sqlite():
    connection = sqlite3.connect(":memory:")
    connection.execute("create table t (x)")
    connection.execute("insert into t values (?)", [KEY])
    return connection.serialize()


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


PACKED = {
    "gzip": gzip.compress(KEY.encode()), "zip": zipped, "parquet": parquet, "sqlite": sqlite,
    "png": b"\x89PNG\r\n\x1a\n" + chunk(b"zTXt", b"Comment\0\0" + zlib.compress(KEY.encode())) + chunk(b"IEND", b""),
    "pdf": b"%PDF-1.4\n<< /Filter /FlateDecode >>\nstream\n" + zlib.compress(KEY.encode()) + b"\nendstream",
}  # fmt: skip


@pytest.mark.parametrize("content", [*ENCODED.values(), *PACKED.values()], ids=[*ENCODED, *PACKED])
def test_key_is_found(content):
    content = content() if callable(content) else content

    assert places_of(KEY, content)
    assert not places_of("sk-quite-another-key-9876543210", content)
