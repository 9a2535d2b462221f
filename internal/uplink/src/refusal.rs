//! What an agent is told when it is not admitted: the one place where reasons
//! become codes, sentences and, before the upgrade, HTTP statuses.

use std::time::Duration;

use bus::{AnnounceError, PinError, PutError};
use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::Full;
use messages::{RefusalCode, Refused, RegistrationResponse};

use crate::admission::{caps::Cap, denial::Denial};

/// When to come back after a cap that frees itself within moments.
const SOON: Duration = Duration::from_secs(1);

/// When to come back after a cap that takes somebody's leaving.
const LATER: Duration = Duration::from_secs(30);

/// A cap, in the words of the protocol.
pub(crate) fn of_cap(cap: Cap) -> Refused {
    let (code, after) = match cap {
        Cap::Handshakes => (RefusalCode::Unavailable, SOON),
        Cap::HandshakesHere => (RefusalCode::TooManyRegistrations, SOON),
        Cap::Links => (RefusalCode::Unavailable, LATER),
        Cap::LinksHere => (RefusalCode::TooManyLinks, LATER),
        Cap::Rate { retry_after } => (RefusalCode::TooManyRegistrations, retry_after),
    };
    refused(code, cap.to_string(), Some(after))
}

/// A rule, in the words of the protocol.
pub(crate) fn of_denial(denial: &Denial) -> Refused {
    let code = denial.code();
    let after = (!code.is_final()).then_some(LATER);
    refused(code, denial.to_string(), after)
}

/// The no of whoever remembers rotations, in the words of the protocol.
pub(crate) fn of_pin(error: PinError) -> Refused {
    match error {
        PinError::Older { known } => refused(
            RefusalCode::Rotated,
            format!(
                "this key was rotated away: the name has been rotated {known} times; use the newest key file"
            ),
            None,
        ),
        PinError::Forked => refused(
            RefusalCode::Rotated,
            "this name was rotated to another key, with the same old one: somebody else may have that; use the key file that was accepted first, or begin with a fresh key"
                .to_owned(),
            None,
        ),
        PinError::Unavailable => refused(RefusalCode::Unavailable, error.to_string(), Some(SOON)),
    }
}

/// The directory's no to a claim of `hostname`, in the words of the protocol.
pub(crate) fn of_directory(error: AnnounceError, hostname: &str) -> Refused {
    let (code, after) = match error {
        AnnounceError::Replaced { .. } => (RefusalCode::Replaced, None),
        AnnounceError::Contended => (RefusalCode::Contended, Some(LATER)),
        AnnounceError::ModeConflict => (RefusalCode::ModeConflict, Some(LATER)),
        AnnounceError::Taken => (RefusalCode::NameTaken, Some(LATER)),
        AnnounceError::Document => (RefusalCode::PolicyRefused, None),
        AnnounceError::Withdrawn | AnnounceError::Unavailable => {
            (RefusalCode::Unavailable, Some(SOON))
        }
    };
    let sentence = match error {
        AnnounceError::Taken => format!(
            "another key holds {hostname} at present: end that agent, or ask for another name"
        ),
        error => error.to_string(),
    };
    refused(code, sentence, after)
}

/// What is wrong with a request for a ticket itself.
pub(crate) fn of_request(code: RefusalCode, sentence: &str) -> Refused {
    refused(code, sentence.to_owned(), None)
}

/// The directory's no to a ticket, in the words of the protocol.
pub(crate) fn of_ticket(error: PutError) -> Refused {
    refused(RefusalCode::Unavailable, error.to_string(), Some(SOON))
}

/// A registration that another key has signed than the one that the channel was
/// opened with.
pub(crate) fn of_other_key() -> Refused {
    refused(
        RefusalCode::WrongAudience,
        "the registration was signed by another key than the channel was opened with".to_owned(),
        None,
    )
}

/// The node is leaving.
pub(crate) fn draining() -> Refused {
    refused(
        RefusalCode::Draining,
        "this server is going down".into(),
        Some(SOON),
    )
}

/// A refusal before there is a link: the answer is HTTP, its body what a refused
/// registration carries.
pub(crate) fn over_http(refused: Refused) -> Response<Full<Bytes>> {
    let status = match refused.code {
        RefusalCode::Unavailable | RefusalCode::Draining => StatusCode::SERVICE_UNAVAILABLE,
        RefusalCode::TooManyLinks | RefusalCode::TooManyRegistrations => {
            StatusCode::TOO_MANY_REQUESTS
        }
        RefusalCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        RefusalCode::BadRequest => StatusCode::BAD_REQUEST,
        _ => StatusCode::FORBIDDEN,
    };
    let retry_after = refused.retry_after_ms.map(|ms| ms.div_ceil(1_000));
    let json = RegistrationResponse::Refused(refused).encode().payload;
    let mut response = Response::new(Full::new(json));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn refused(code: RefusalCode, message: String, after: Option<Duration>) -> Refused {
    Refused {
        code,
        message,
        retry_after_ms: after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_is_answered_before_the_upgrade_with_a_status_and_a_time_to_come_back() {
        let cap = Cap::Rate {
            retry_after: Duration::from_millis(1_200),
        };
        let response = over_http(of_cap(cap));
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[RETRY_AFTER], "2");

        let busy = over_http(of_cap(Cap::Handshakes));
        assert_eq!(busy.status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn only_a_replaced_session_is_told_to_stay_away() {
        assert!(
            of_directory(AnnounceError::Replaced { by: 7 }, "")
                .code
                .is_final()
        );
        for passing in [
            AnnounceError::Contended,
            AnnounceError::ModeConflict,
            AnnounceError::Unavailable,
        ] {
            assert!(!of_directory(passing, "").code.is_final(), "{passing:?}");
        }
        assert!(!draining().code.is_final());
    }
}
