//! Messages written and read again, and held against other implementations.

use bytes::{BufMut as _, Bytes, BytesMut};
use pgwire::messages::{Message, data, response, simplequery, startup as theirs};
use proptest::prelude::*;

use super::*;

/// What we encode is what `pgwire` encodes; gives its body.
fn same(theirs: &impl Message, ours: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (mut expected, mut out) = (BytesMut::new(), Vec::new());
    theirs.encode(&mut expected).unwrap();
    ours(&mut out);
    assert_eq!(out, expected);
    out.split_off(5)
}

/// `read` takes the body, and nothing shorter or longer.
fn exact<'a, T: PartialEq + std::fmt::Debug>(
    body: &'a [u8],
    read: impl Fn(&'a [u8]) -> Result<T, Malformed>,
    expected: T,
) {
    for at in 0..body.len() {
        assert!(read(&body[..at]).is_err(), "cut at {at}");
    }
    assert_eq!(read(body), Ok(expected));
    assert!(read([body, b"\0"].concat().leak()).is_err(), "longer");
}

#[test]
fn authentication() {
    type T = theirs::Authentication;
    use Authentication as A;
    let scram = || vec!["SCRAM-SHA-256".to_owned()];
    for (expected, ours) in [
        (T::Ok, A::Ok),
        (T::CleartextPassword, A::CleartextPassword),
        (T::MD5Password(vec![1, 2, 3, 4]), A::Md5Password([1, 2, 3, 4])),
        (T::SASL(scram()), A::SCRAM_SHA_256),
        (T::SASLContinue(Bytes::from_static(b"r=1")), A::SaslContinue(b"r=1")),
        (T::SASLFinal(Bytes::from_static(b"v=1")), A::SaslFinal(b"v=1")),
        (T::KerberosV5, A::Other(2)),
    ] {
        let body = same(&expected, |out| ours.encode(out));
        assert_eq!(A::decode(&body), Ok(ours));
        for at in 0..4 {
            assert!(A::decode(&body[..at]).is_err());
        }
    }
    for body in [&b"\0\0\0\0x"[..], b"\0\0\0\x03x", b"\0\0\0\x05abc", b"\0\0\0\x05abcde", b"\0\0\0\x0aSCRAM"]
    {
        assert!(A::decode(body).is_err(), "{body:?}");
    }
    let Ok(A::Sasl(offered)) = A::decode(b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0") else {
        panic!("no list");
    };
    assert_eq!(offered.names().collect::<Vec<_>>(), [&b"SCRAM-SHA-256-PLUS"[..], b"SCRAM-SHA-256"]);
}

#[test]
fn answers_to_authentication() {
    let theirs = theirs::Password::new("secret".to_owned());
    let mut out = Vec::new();
    encode_password(&mut out, b"secret");
    // pgwire gives this message an encoder, but only inside its family.
    let mut expected = BytesMut::new();
    theirs::PasswordMessageFamily::Password(theirs).encode(&mut expected).unwrap();
    assert_eq!(out, expected);
    exact(&out[5..], decode_password, b"secret");

    for data in [Some(&b"n,,n=,r=x"[..]), Some(b""), None] {
        let expected =
            theirs::SASLInitialResponse::new("SCRAM-SHA-256".to_owned(), data.map(Bytes::from_static));
        let ours = SaslInitialResponse { mechanism: b"SCRAM-SHA-256", data };
        let mut buffer = BytesMut::new();
        theirs::PasswordMessageFamily::SASLInitialResponse(expected).encode(&mut buffer).unwrap();
        let mut out = Vec::new();
        ours.encode(&mut out);
        assert_eq!(out, buffer);
        exact(&out[5..], SaslInitialResponse::decode, ours);
    }
    assert!(SaslInitialResponse::decode(b"x\0\xff\xff\xff\xfe").is_err(), "a negative length");
}

#[test]
fn reports() {
    let status = theirs::ParameterStatus::new("TimeZone".to_owned(), "UTC".to_owned());
    let body = same(&status, |out| encode_parameter_status(out, b"TimeZone", b"UTC"));
    exact(&body, decode_parameter_status, (&b"TimeZone"[..], &b"UTC"[..]));

    let key = BackendKey::new(4711, b"\x80cde").unwrap();
    let secret = theirs::SecretKey::I32(i32::from_be_bytes(*b"\x80cde"));
    let body = same(&theirs::BackendKeyData::new(4711, secret), |out| encode_backend_key(out, &key));
    assert_eq!(decode_backend_key(&body), Ok(key));
    assert!(decode_backend_key(&body[..7]).is_err() && decode_backend_key(&[0; 261]).is_err());
    assert_eq!(decode_backend_key(&[1; 260]).map(|key| key.secret.len()), Ok(256));

    let ready = response::ReadyForQuery::new(response::TransactionStatus::Transaction);
    let body = same(&ready, |out| encode_ready_for_query(out, b'T'));
    exact(&body, decode_ready_for_query, b'T');
    assert!(decode_ready_for_query(b"X").is_err());
}

#[test]
fn queries_and_rows() {
    let query = simplequery::Query::new("select 1".to_owned());
    same(&query, |out| encode_query(out, "select 1"));

    let field = |name: &str| data::FieldDescription::new(name.to_owned(), 0, 0, 25, -1, -1, 0);
    let description = data::RowDescription::new(vec![field("a"), field("b")]);
    let body = same(&description, |out| encode_row_description(out, &["a", "b"]));
    exact(&body, decode_row_description, vec![&b"a"[..], b"b"]);

    let mut values = BytesMut::new();
    values.put_i32(1);
    values.put_slice(b"x");
    values.put_i32(-1);
    values.put_i32(0);
    let row = [Some(&b"x"[..]), None, Some(b"")];
    let body = same(&data::DataRow::new(values, 3), |out| encode_data_row(out, &row));
    exact(&body, decode_data_row, row.to_vec());
    for body in [&b"\xff\xff"[..], b"\0\x01\xff\xff\xff\xfe", b"\0\x01\x7f\xff\xff\xff"] {
        assert!(decode_data_row(body).is_err(), "{body:?}");
    }

    let complete = response::CommandComplete::new("SELECT 3".to_owned());
    let body = same(&complete, |out| encode_command_complete(out, "SELECT 3"));
    exact(&body, decode_command_complete, b"SELECT 3");

    let mut out = Vec::new();
    encode_query(&mut out, "a\0b");
    assert_eq!(out, b"Q\0\0\0\x07ab\0", "a NUL would end the text early");
}

proptest! {
    #[test]
    fn no_body_makes_them_panic(body: Vec<u8>) {
        let _ = Authentication::decode(&body).map(|a| format!("{a:?}"));
        let _ = SaslInitialResponse::decode(&body);
        let _ = (decode_password(&body), decode_parameter_status(&body), decode_backend_key(&body));
        let _ = (decode_row_description(&body), decode_data_row(&body), decode_command_complete(&body));
        let _ = crate::wire::error::ServerError::decode(&body);
    }
}
