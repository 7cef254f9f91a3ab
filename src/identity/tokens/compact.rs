//! A token in compact form, taken apart strictly. Nothing in it is believed yet.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::TokenRefused;
use super::json;

/// Longest token that is looked at, in bytes.
pub(super) const LONGEST: usize = 8 * 1024;

/// A token that was taken apart and not verified.
pub struct Compact<'t> {
    /// How it says that it is signed.
    pub algorithm: Algorithm,
    /// The name of the key that it says it is signed with.
    pub key: Option<String>,
    /// What it says that it is, in lower case and without `application/`.
    pub kind: Option<String>,
    /// What it says.
    pub claims: Map<String, Value>,
    /// What the signature is over.
    pub(super) signed: &'t str,
    /// The signature, in base64url.
    pub(super) signature: &'t str,
}

impl<'t> Compact<'t> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// Returns an error if it is too long, is not three parts of base64url, has a part with more than one reading, or
    /// its header asks for what we do not understand.
    pub fn parse(token: &'t str) -> Result<Self, TokenRefused> {
        if token.len() > LONGEST {
            return Err(TokenRefused::TooLarge);
        }
        let malformed = || TokenRefused::Malformed;
        let (signed, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
        if signature.is_empty() || decode(signature).is_none() {
            return Err(TokenRefused::Malformed);
        }
        let header = decode(header).and_then(|text| json::object(&text).ok()).ok_or_else(malformed)?;
        let claims = decode(claims).and_then(|text| json::object(&text).ok()).ok_or_else(malformed)?;
        // RFC 7515 §4.1.11: who does not understand an extension that is critical refuses. RFC 7797's `b64` changes what
        // is signed. A compressed or encrypted token is none that we read.
        if ["crit", "b64", "zip", "enc"].iter().any(|extension| header.contains_key(*extension)) {
            return Err(TokenRefused::Extension);
        }
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(TokenRefused::Malformed),
        };
        let algorithm = text("alg")?.ok_or_else(malformed)?.parse().map_err(|_| TokenRefused::Algorithm)?;
        Ok(Self {
            algorithm,
            key: text("kid")?,
            kind: text("typ")?.as_deref().map(plain_type),
            claims,
            signed,
            signature,
        })
    }

    /// What the claim says, if it is a text.
    #[must_use]
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim).and_then(Value::as_str)
    }
}

/// RFC 7515 §4.1.9: types are media types, told apart without case, and `application/` may be left out.
fn plain_type(kind: &str) -> String {
    let lower = kind.to_ascii_lowercase();
    match lower.strip_prefix("application/") {
        Some(plain) => plain.to_owned(),
        None => lower,
    }
}

fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(header: &str, claims: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
    }

    fn refusal(token: &str) -> Option<TokenRefused> {
        Compact::parse(token).err()
    }

    #[test]
    fn a_sound_token_is_taken_apart() {
        let text = token(r#"{"alg":"RS256","kid":"k1","typ":"application/AT+JWT"}"#, r#"{"iss":"x","n":1}"#);
        let compact = Compact::parse(&text).expect("sound");
        assert_eq!(compact.algorithm, Algorithm::RS256);
        assert_eq!((compact.key.as_deref(), compact.kind.as_deref()), (Some("k1"), Some("at+jwt")));
        assert_eq!((compact.text("iss"), compact.text("n")), (Some("x"), None));
        assert_eq!(format!("{}.{}", compact.signed, compact.signature), text);
    }

    #[test]
    fn whatever_has_more_than_one_reading_is_refused() {
        let claims = r#"{"iss":"x"}"#;
        let good = token(r#"{"alg":"RS256"}"#, claims);
        let cases = [
            (good.replace(".c2ln", "."), TokenRefused::Malformed),
            (good.replace(".c2ln", ""), TokenRefused::Malformed),
            (good.replace("c2ln", "c2ln="), TokenRefused::Malformed),
            (good.replace("c2ln", "c2l+"), TokenRefused::Malformed),
            (good.replace("c2ln", "c2lnc"), TokenRefused::Malformed),
            (format!("{good}.x"), TokenRefused::Malformed),
            (format!(" {good}"), TokenRefused::Malformed),
            (token(r#"{"alg":"none"}"#, claims), TokenRefused::Algorithm),
            (token(r#"{"alg":"NONE"}"#, claims), TokenRefused::Algorithm),
            (token(r#"{"alg":"ES256K"}"#, claims), TokenRefused::Algorithm),
            (token(r#"{"alg":"rs256"}"#, claims), TokenRefused::Algorithm),
            (token("{}", claims), TokenRefused::Malformed),
            (token(r#"{"alg":["RS256"]}"#, claims), TokenRefused::Malformed),
            (token(r#"{"alg":"RS256","alg":"HS256"}"#, claims), TokenRefused::Malformed),
            (token(r#"{"alg":"RS256","kid":1}"#, claims), TokenRefused::Malformed),
            (token(r#"{"alg":"RS256","crit":["exp"]}"#, claims), TokenRefused::Extension),
            (token(r#"{"alg":"RS256","b64":false}"#, claims), TokenRefused::Extension),
            (token(r#"{"alg":"RS256","zip":"DEF"}"#, claims), TokenRefused::Extension),
            (token(r#"{"alg":"RS256"}"#, r#"{"iss":"x","iss":"y"}"#), TokenRefused::Malformed),
            (token(r#"{"alg":"RS256"}"#, "[]"), TokenRefused::Malformed),
            (String::new(), TokenRefused::Malformed),
            ("..".to_owned(), TokenRefused::Malformed),
            ("a".repeat(LONGEST + 1), TokenRefused::TooLarge),
        ];
        for (text, expected) in cases {
            assert_eq!(refusal(&text), Some(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_not_panic(text in "\\PC{0,300}") {
            let _ = Compact::parse(&text);
        }

        #[test]
        fn arbitrary_parts_do_not_panic(header in "[ -~]{0,80}", claims in "[ -~]{0,80}") {
            let _ = Compact::parse(&token(&header, &claims));
        }
    }
}
