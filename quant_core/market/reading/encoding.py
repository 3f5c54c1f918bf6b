"""From the bytes of a file to UTF-8 with `\\n` at the end of a line."""

import codecs
import re
from functools import partial

from quant_core.errors import DataError

UTF8 = "utf-8"
#: Byte order marks, and what Python calls the encoding; those of four bytes begin as those of two do.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: How files begin that are no text, whatever their name says.
_OTHERS = {
    b"\x1f\x8b": "a gzip archive",
    b"PK\x03\x04": "a zip archive or an Excel file",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF",
}
#: Letters that nobody sees (marks of order, joints, zero widths), in UTF-8: they are part of no name and no number.
_INVISIBLE = re.compile(rb"\xe2\x80[\x8b-\x8f]|\xe2\x81\xa0|\xef\xbb\xbf")
#: So many bytes tell an encoding.
_JUDGED = 1 << 16


def encoding_of(start: bytes, where: str) -> str:
    """The encoding by the file's mark, else UTF-8, else UTF-16 without a mark, else what charset-normalizer finds.

    Raises:
        DataError: no text: an archive, an Excel file, zero bytes.
    """
    for magic, kind in _OTHERS.items():
        if start.startswith(magic):
            raise DataError(f"{where}: {kind}, wanted text; unpack it, or save it as CSV or under its true name.")
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    if b"\0" in start[:_JUDGED]:
        return _without_mark(start[:_JUDGED], where)
    return UTF8 if _is_utf8(start) else _judged(start[:_JUDGED])


def _is_utf8(start: bytes) -> bool:
    try:
        codecs.getincrementaldecoder(UTF8)().decode(start)  # the last letter may be cut
    except UnicodeDecodeError:
        return False
    return True


def _without_mark(start: bytes, where: str) -> str:
    """UTF-16 of Latin letters has a zero in every second byte."""
    even, odd = start[0::2].count(0), start[1::2].count(0)
    for name, zeros, others in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if zeros > len(start) * 0.4 and not others:
            return name
    raise DataError(f"{where}: zero bytes, so no text; fetch it again or export it as CSV.")


def _judged(start: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(start, cp_isolation=["cp1252", "cp1250", "latin_1", "mac_roman"]).best()
    return "cp1252" if best is None else best.encoding


def to_utf8(data: bytes, where: str, encoding: str | None = None) -> tuple[bytes, str]:
    """`data` as UTF-8 without a byte order mark and with one kind of line end, and the encoding that it had.

    Raises:
        DataError: no text, or bytes that its encoding does not have.
    """
    found = encoding or encoding_of(data, where)
    if found != UTF8:
        data = _decoded(data, found, encoding is None, where).encode()
    elif encoding is not None and not _is_whole_utf8(data):  # further down than the beginning shows
        data = data.decode("cp1252", errors="replace").encode()
    if b"\0" in data:
        raise DataError(f"{where}: zero bytes, so no text; fetch it again or export it as CSV.")
    if not data.isascii():
        data = _INVISIBLE.sub(b"", data)
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data, found


def _is_whole_utf8(data: bytes) -> bool:
    return data.isascii() or _is_utf8(data)


def _decoded(data: bytes, encoding: str, is_start: bool, where: str) -> str:
    """A beginning may end within a letter; a whole file may not."""
    decode = codecs.getincrementaldecoder(encoding)(errors="strict")
    step = partial(decode.decode, final=not is_start)
    try:
        return step(data).removeprefix("\ufeff")
    except UnicodeDecodeError as failure:
        raise DataError(f"{where}: byte {failure.start} is none of {encoding}; save the file as UTF-8.") from failure
