//! What a visitor offers in his `Authorization` field.

use data_encoding::BASE64;
use http::{HeaderMap, header::AUTHORIZATION};

use crate::failure::Failure;

/// The longest name and password together, in bytes. Nothing longer is decoded,
/// let alone hashed.
const MAX_OFFERED: usize = 1024;

/// A name and a password (RFC 7617, 2): UTF-8 without control characters, a colon
/// after the name.
pub(super) struct Offered {
    text: String,
}

impl Offered {
    /// `None` where no password is offered: no field, another scheme, or what is no
    /// name and password.
    ///
    /// # Errors
    /// [`Failure::BadRequest`] for more than one field: whoever reads the other one
    /// would see another visitor.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Failure> {
        let mut fields = headers.get_all(AUTHORIZATION).iter();
        let field = fields.next();
        if fields.next().is_some() {
            return Err(Failure::BadRequest("a request has one Authorization field"));
        }
        Ok(field.and_then(|field| Self::parse(field.as_bytes())))
    }

    fn parse(field: &[u8]) -> Option<Self> {
        let (scheme, rest) = field.split_at_checked(6)?;
        let token = rest.trim_ascii();
        let is_basic = scheme.eq_ignore_ascii_case(b"basic ");
        if !is_basic || token.len() > MAX_OFFERED.div_ceil(3) * 4 {
            return None;
        }
        let text = String::from_utf8(BASE64.decode(token).ok()?).ok()?;
        let fine =
            text.len() <= MAX_OFFERED && text.contains(':') && !text.chars().any(char::is_control);
        fine.then_some(Self { text })
    }

    /// Name and password; further colons are the password's.
    pub(super) fn parts(&self) -> (&str, &[u8]) {
        let parts = self.text.split_once(':');
        let (name, password) = parts.unwrap_or_default();
        (name, password.as_bytes())
    }

    /// Both, as one.
    pub(super) fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn offered(fields: &[&str]) -> Result<Option<(String, String)>, Failure> {
        let fields = fields.iter().map(|value| {
            let value = HeaderValue::from_str(value).unwrap();
            (AUTHORIZATION, value)
        });
        let offered = Offered::of(&fields.collect())?;
        Ok(offered.map(|offered| {
            let (name, password) = offered.parts();
            let password = String::from_utf8(password.to_vec()).unwrap();
            (name.to_owned(), password)
        }))
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", BASE64.encode(text.as_bytes()))
    }

    #[test]
    fn the_examples_of_rfc_7617() {
        let aladdin = ("Aladdin".to_owned(), "open sesame".to_owned());
        for field in [
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "basic  QWxhZGRpbjpvcGVuIHNlc2FtZQ== ",
        ] {
            assert_eq!(offered(&[field]), Ok(Some(aladdin.clone())));
        }
        let test = ("test".to_owned(), "123£".to_owned());
        assert_eq!(offered(&["Basic dGVzdDoxMjPCow=="]), Ok(Some(test)));
    }

    #[test]
    fn colons_after_the_first_are_the_passwords() {
        let parts = (String::new(), ":a:b".to_owned());
        assert_eq!(offered(&[&basic("::a:b")]), Ok(Some(parts)));
    }

    #[test]
    fn what_is_no_name_and_password_offers_nothing() {
        for field in [
            "",
            "Basic",
            "Basic ",
            "Basic !!!!",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==, Basic QTpC",
            "BasicQWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Basic /////w==",
            &basic("no colon"),
            &basic("a:new\nline"),
        ] {
            assert_eq!(offered(&[field]), Ok(None), "{field}");
        }
        assert_eq!(offered(&[]), Ok(None));
    }

    #[test]
    fn a_megabyte_is_not_decoded() {
        assert_eq!(offered(&[&basic(&"a:".repeat(524_288))]), Ok(None));
        assert!(offered(&[&basic(&"a:".repeat(512))]).unwrap().is_some());
        assert_eq!(offered(&[&basic(&"a:".repeat(513))]), Ok(None));
    }

    #[test]
    fn two_fields_are_two_visitors() {
        let field = basic("a:b");
        assert!(matches!(
            offered(&[&field, &field]),
            Err(Failure::BadRequest(_))
        ));
    }
}
