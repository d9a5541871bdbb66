//! Distinguished names as RFC 2253 writes them, letter for letter as OpenSSL does with its flag of that name, because
//! that is what PostgreSQL compares and what people copy from `openssl x509 -nameopt RFC2253`.

use std::fmt::Write as _;

use x509_cert::{
    attr::AttributeTypeAndValue,
    der::{Encode as _, Tag, asn1::Any},
    name::Name,
};

/// OpenSSL's short names of the attributes that are met in subjects.
const SHORT_NAMES: [(&str, &str); 25] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.16", "postalAddress"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.20", "telephoneNumber"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.44", "generationQualifier"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.65", "pseudonym"),
    ("2.5.4.97", "organizationIdentifier"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// A whole name, last part first.
pub(super) fn rfc2253(name: &Name) -> String {
    let mut parts = Vec::new();
    for rdn in name.iter_rdn() {
        // Several attributes in one part are joined by a plus sign; they, too, stand in reverse.
        let mut attributes: Vec<_> = rdn.iter().map(attribute).collect();
        attributes.reverse();
        parts.push(attributes.join("+"));
    }
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue) -> String {
    let oid = attribute.oid.to_string();
    let short = SHORT_NAMES.iter().find(|(known, _)| *known == oid).map(|(_, short)| *short);
    match (short, text(&attribute.value)) {
        (Some(name), Some(value)) => format!("{name}={}", escaped(&value)),
        (name, _) => format!("{}={}", name.unwrap_or(&oid), dumped(&attribute.value)),
    }
}

/// The text of a string of whichever kind.
pub(super) fn text(value: &Any) -> Option<String> {
    let bytes = value.value();
    match x509_cert::der::Tagged::tag(value) {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::VisibleString | Tag::NumericString => {
            String::from_utf8(bytes.to_vec()).ok()
        }
        // T.61, which everybody takes for Latin-1.
        Tag::TeletexString => Some(bytes.iter().copied().map(char::from).collect()),
        Tag::BmpString if bytes.len().is_multiple_of(2) => {
            let units: Vec<_> =
                bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16(&units).ok()
        }
        _ => None,
    }
}

/// Special characters behind a backslash; control characters and what is not ASCII byte by byte.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for (at, byte) in value.bytes().enumerate() {
        let at_an_end = at == 0 || at + 1 == value.len();
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => out.extend(['\\', char::from(byte)]),
            b'#' if at == 0 => out.push_str("\\#"),
            b' ' if at_an_end => out.push_str("\\ "),
            0x20..=0x7E => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\{byte:02X}");
            }
        }
    }
    out
}

/// What is no text, in hexadecimal with its header.
fn dumped(value: &Any) -> String {
    let mut out = "#".to_owned();
    for byte in value.to_der().unwrap_or_default() {
        let _ = write!(out, "{byte:02X}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn values_are_escaped_as_openssl_does() {
        for (value, expected) in [
            ("", ""),
            ("Alice Smith", "Alice Smith"),
            ("a,b+c\"d\\e<f>g;h", "a\\,b\\+c\\\"d\\\\e\\<f\\>g\\;h"),
            ("#1 #2", "\\#1 #2"),
            (" both ", "\\ both\\ "),
            ("Gr\u{fc}n\t\u{7f}", "Gr\\C3\\BCn\\09\\7F"),
        ] {
            assert_eq!(escaped(value), expected, "{value}");
        }
    }
}
