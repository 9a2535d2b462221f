//! How the providers sign: what is hashed before the body, and what a request says
//! must come out.

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderName};
use sha2::Sha256;

/// Signatures of one request that are tried; Stripe sends two while a secret is
/// being rotated.
const MAX_SIGNATURES: usize = 8;

/// The rule that a wrong signature breaks.
pub(super) const UNFIT: &str =
    "the signature is not that of this body with a secret of this tunnel";

const MISSING: &str = "the field that holds the signature is missing, or there more than once";
const MALFORMED: &str = "the signature is not spelled as its sender spells it";
const NO_TIME: &str = "the time that belongs to the signature is missing or no number of seconds";
const TOO_OLD: &str = "the time of the signature is too far from the time of this server";

/// What a request claims: that one of these comes out of an HMAC-SHA256 over this
/// and the body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claim {
    before: String,
    signatures: Vec<[u8; 32]>,
}

/// The rule that a request breaks.
type Broken = &'static str;

impl Claim {
    /// `X-Hub-Signature-256: sha256=HEX`.
    pub(super) fn github(headers: &HeaderMap) -> Result<Self, Broken> {
        let value = only(headers, &HeaderName::from_static("x-hub-signature-256"))?;
        let digest = value.strip_prefix("sha256=").and_then(hex);
        Self::of_body(digest)
    }

    /// `Stripe-Signature: t=TIME,v1=HEX,v1=HEX` over `TIME.body`; other schemes are
    /// passed over.
    pub(super) fn stripe(headers: &HeaderMap, now: u64, tolerance: u64) -> Result<Self, Broken> {
        let value = only(headers, &HeaderName::from_static("stripe-signature"))?;
        let parts = value
            .split(',')
            .filter_map(|part| part.trim().split_once('='));
        let mut time = None;
        let mut signatures = Vec::new();
        for (key, value) in parts {
            match key {
                "t" => time = time.or(Some(value)),
                "v1" if signatures.len() < MAX_SIGNATURES => {
                    signatures.push(hex(value).ok_or(MALFORMED)?);
                }
                _ => {}
            }
        }
        let time = in_time(time, now, tolerance)?;
        if signatures.is_empty() {
            return Err(MALFORMED);
        }
        Ok(Self {
            before: format!("{time}."),
            signatures,
        })
    }

    /// `X-Slack-Signature: v0=HEX` over `v0:TIME:body`, the time in a field of its own.
    pub(super) fn slack(headers: &HeaderMap, now: u64, tolerance: u64) -> Result<Self, Broken> {
        let value = only(headers, &HeaderName::from_static("x-slack-signature"))?;
        let time = only(
            headers,
            &HeaderName::from_static("x-slack-request-timestamp"),
        )
        .ok();
        let time = in_time(time, now, tolerance)?;
        let digest = value.strip_prefix("v0=").and_then(hex).ok_or(MALFORMED)?;
        Ok(Self {
            before: format!("v0:{time}:"),
            signatures: vec![digest],
        })
    }

    /// `X-Shopify-Hmac-Sha256: BASE64`.
    pub(super) fn shopify(headers: &HeaderMap) -> Result<Self, Broken> {
        let value = only(headers, &HeaderName::from_static("x-shopify-hmac-sha256"))?;
        Self::of_body(base64(value))
    }

    /// Hex or base64 in a field of choice, perhaps after `sha256=`.
    pub(super) fn hmac(headers: &HeaderMap, field: &HeaderName) -> Result<Self, Broken> {
        let value = only(headers, field)?;
        let value = value.strip_prefix("sha256=").unwrap_or(value);
        Self::of_body(hex(value).or_else(|| base64(value)))
    }

    fn of_body(digest: Option<[u8; 32]>) -> Result<Self, Broken> {
        Ok(Self {
            before: String::new(),
            signatures: vec![digest.ok_or(MALFORMED)?],
        })
    }

    /// Puts what comes before the body into the `macs`.
    pub(super) fn begin(&self, macs: &mut [Hmac<Sha256>]) {
        for mac in macs {
            mac.update(self.before.as_bytes());
        }
    }

    /// True when one of the signatures is what came out of one of the `macs`. How
    /// long that takes says nothing of how much of it fits.
    pub(super) fn fits(&self, macs: &[Hmac<Sha256>]) -> bool {
        macs.iter().any(|mac| {
            let is = |signature: &[u8; 32]| mac.clone().verify_slice(signature).is_ok();
            self.signatures.iter().any(is)
        })
    }
}

/// The one field of that name, as text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, Broken> {
    let mut fields = headers.get_all(name).iter();
    match (fields.next(), fields.next()) {
        (Some(field), None) => field.to_str().map_err(|_| MALFORMED),
        _ => Err(MISSING),
    }
}

/// The time as it was signed, when it is near enough to now in either direction.
fn in_time(time: Option<&str>, now: u64, tolerance: u64) -> Result<&str, Broken> {
    let time = time.ok_or(NO_TIME)?;
    let digits = !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = digits.then(|| time.parse::<u64>().ok()).flatten();
    if seconds.ok_or(NO_TIME)?.abs_diff(now) > tolerance {
        return Err(TOO_OLD);
    }
    Ok(time)
}

fn hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 {
        return None;
    }
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
    bytes.try_into().ok()
}

fn base64(text: &str) -> Option<[u8; 32]> {
    if text.len() != 44 {
        return None;
    }
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use hmac::KeyInit;
    use http::HeaderValue;

    use super::*;

    const HEX: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn fits(claim: &Claim, secret: &str, body: &str) -> bool {
        let mut macs = vec![Hmac::new_from_slice(secret.as_bytes()).unwrap()];
        claim.begin(&mut macs);
        macs[0].update(body.as_bytes());
        claim.fits(&macs)
    }

    /// The example of GitHub's documentation ("Validating webhook deliveries").
    #[test]
    fn github_signs_the_body() {
        let signature = format!("sha256={HEX}");
        let claim = Claim::github(&headers(&[("x-hub-signature-256", &signature)])).unwrap();
        assert!(fits(&claim, "It's a Secret to Everybody", "Hello, World!"));
        assert!(!fits(&claim, "It's a Secret to Everybody", "Hello, World"));
        assert!(!fits(&claim, "It's no Secret", "Hello, World!"));
    }

    /// The example of Slack's documentation ("Verifying requests from Slack").
    #[test]
    fn slack_signs_a_time_and_the_body() {
        let fields = headers(&[
            ("x-slack-request-timestamp", "1531420618"),
            (
                "x-slack-signature",
                "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
            ),
        ]);
        let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let claim = Claim::slack(&fields, 1_531_420_618 + 300, 300).unwrap();
        assert!(fits(&claim, "8f742231b10e8888abcd99yyyzzz85a5", body));
        assert!(!fits(&claim, "8f742231b10e8888abcd99yyyzzz85a5", "text="));
        assert_eq!(
            Claim::slack(&fields, 1_531_420_618 + 301, 300),
            Err(TOO_OLD)
        );
        assert_eq!(
            Claim::slack(&fields, 1_531_420_618 - 301, 300),
            Err(TOO_OLD)
        );
    }

    #[test]
    fn stripe_signs_a_time_and_may_sign_twice() {
        let mac = |secret: &[u8]| {
            let mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
            let signed = mac.chain_update(b"1492774577.{}").finalize();
            HEXLOWER_PERMISSIVE.encode(&signed.into_bytes())
        };
        let (old, new) = (mac(b"whsec_old"), mac(b"whsec_new"));
        let value = format!("t=1492774577,v1={old},v1={new},v0=6ffbb59b2300aae63f27");
        let fields = headers(&[("stripe-signature", &value)]);
        let claim = Claim::stripe(&fields, 1_492_774_577, 300).unwrap();
        assert!(fits(&claim, "whsec_old", "{}") && fits(&claim, "whsec_new", "{}"));
        assert!(!fits(&claim, "whsec_other", "{}") && !fits(&claim, "whsec_old", "{ }"));
        let late = Claim::stripe(&fields, 1_492_774_577 + 10, 9);
        assert_eq!(late, Err(TOO_OLD));
    }

    #[test]
    fn shopify_and_others_spell_it_in_base64() {
        let digest = HEXLOWER_PERMISSIVE.decode(HEX.as_bytes()).unwrap();
        let base64 = BASE64.encode(&digest);
        let secret = "It's a Secret to Everybody";
        let shopify = Claim::shopify(&headers(&[("x-shopify-hmac-sha256", &base64)])).unwrap();
        assert!(fits(&shopify, secret, "Hello, World!"));
        let field = HeaderName::from_static("x-mine");
        for spelled in [
            HEX.to_owned(),
            HEX.to_uppercase(),
            format!("sha256={HEX}"),
            base64,
        ] {
            let claim = Claim::hmac(&headers(&[("x-mine", &spelled)]), &field).unwrap();
            assert!(fits(&claim, secret, "Hello, World!"), "{spelled}");
        }
    }

    #[test]
    fn each_refusal_names_its_rule() {
        let github = |fields: &[(&'static str, &str)]| Claim::github(&headers(fields)).unwrap_err();
        let name = "x-hub-signature-256";
        let right = format!("sha256={HEX}");
        assert_eq!(github(&[]), MISSING);
        assert_eq!(github(&[(name, &right), (name, &right)]), MISSING);
        assert_eq!(github(&[(name, HEX)]), MALFORMED);
        assert_eq!(github(&[(name, "sha256=")]), MALFORMED);
        assert_eq!(github(&[(name, &format!("sha256={HEX}00"))]), MALFORMED);
        let stripe = |value: &str| {
            Claim::stripe(&headers(&[("stripe-signature", value)]), 100, 300).unwrap_err()
        };
        assert_eq!(stripe(&format!("v1={HEX}")), NO_TIME);
        assert_eq!(stripe(&format!("t=-1,v1={HEX}")), NO_TIME);
        assert_eq!(stripe(&format!("t=99999999999999999999,v1={HEX}")), NO_TIME);
        assert_eq!(stripe("t=100"), MALFORMED);
        assert_eq!(stripe("t=100,v1=zz"), MALFORMED);
        let slack = headers(&[("x-slack-signature", "v0=")]);
        assert_eq!(Claim::slack(&slack, 100, 300), Err(NO_TIME));
    }
}
