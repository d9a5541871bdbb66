//! Which client encodings let SQL be read byte by byte.

/// Whether in this client encoding (as named in `client_encoding`) every byte below 0x80 is an ASCII character.
///
/// In SJIS, SHIFT_JIS_2004, BIG5, GBK, UHC, GB18030 and JOHAB (manual 24.3.1: no server encodings) the second byte of a
/// character may be a backslash or another ASCII byte. The server converts before it parses, so for those a text must be
/// given to [`classify_opaque`](super::classify_opaque). An unknown name is not transparent. Names are compared as
/// PostgreSQL compares them: letters and digits only, case ignored.
pub fn is_transparent(client_encoding: &[u8]) -> bool {
    const TRANSPARENT: [&str; 49] = [
        "utf8",
        "unicode",
        "sqlascii",
        "muleinternal",
        "euccn",
        "eucjp",
        "eucjis2004",
        "euckr",
        "euctw",
        "latin1",
        "latin2",
        "latin3",
        "latin4",
        "latin5",
        "latin6",
        "latin7",
        "latin8",
        "latin9",
        "latin10",
        "iso88591",
        "iso88592",
        "iso88593",
        "iso88594",
        "iso88595",
        "iso88596",
        "iso88597",
        "iso88598",
        "iso88599",
        "iso885910",
        "iso885913",
        "iso885914",
        "iso885915",
        "iso885916",
        "koi8",
        "koi8r",
        "koi8u",
        "win",
        "alt",
        "win866",
        "win874",
        "win1250",
        "win1251",
        "win1252",
        "win1253",
        "win1254",
        "win1255",
        "win1256",
        "win1257",
        "win1258",
    ];
    let name = || client_encoding.iter().filter(|byte| byte.is_ascii_alphanumeric());
    TRANSPARENT.iter().any(|known| name().map(u8::to_ascii_lowercase).eq(known.bytes()))
}

#[cfg(test)]
mod tests {
    use super::is_transparent;

    #[test]
    fn knows_the_encodings_that_hide_ascii_bytes() {
        for name in [
            "UTF8",
            "utf-8",
            "UNICODE",
            "SQL_ASCII",
            "EUC_JIS_2004",
            "LATIN1",
            "ISO_8859_5",
            "WIN1252",
            "KOI8R",
        ] {
            assert!(is_transparent(name.as_bytes()), "{name}");
        }
        let hiding = ["SJIS", "ShiftJIS", "SHIFT_JIS_2004", "BIG5", "GBK", "UHC", "GB18030", "JOHAB"];
        let aliases = ["Windows949", "win936", "win950", "win932", "mskanji", "", "klingon", "utf"];
        for name in hiding.into_iter().chain(aliases) {
            assert!(!is_transparent(name.as_bytes()), "{name}");
        }
    }
}
