//! The rules of admission, each with its status, its label and its sentence.

use http::StatusCode;

use crate::model::ErrorKind;

/// Why a request was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejection {
    /// Not on the allow-list; lower case is another method.
    #[error("the method is not allowed")]
    Method,
    /// Neither a path nor an absolute address.
    #[error("the request target must be a path")]
    TargetForm,
    /// An absolute target of another scheme.
    #[error("the request target is not an https address")]
    Scheme,
    /// Over `http.max_target_size`.
    #[error("the request target is too long")]
    TargetTooLong,
    /// A `%` without two hexadecimal digits.
    #[error("the path has a broken percent-encoding")]
    PathEncoding,
    /// Bytes that are not UTF-8, overlong forms among them.
    #[error("the path is not UTF-8")]
    PathUtf8,
    /// A control character, NUL among them.
    #[error("the path has a control character")]
    PathControl,
    /// `/` encoded.
    #[error("the path has an encoded slash")]
    PathSlash,
    /// `\`, encoded or not.
    #[error("the path has a backslash")]
    PathBackslash,
    /// `.` or `..`, encoded or not, with or without `;` parameters.
    #[error("the path has a dot segment")]
    PathDots,
    /// Encoded more than once, with something inside that would have been refused.
    #[error("the path hides a forbidden character behind a second encoding")]
    PathDoubleEncoding,
    /// No `Host` and no `:authority`.
    #[error("the host is missing")]
    HostMissing,
    /// More than one `Host`.
    #[error("there is more than one host header")]
    HostDoubled,
    /// `Host` and the target name different hosts.
    #[error("the host header and the request target disagree")]
    HostsDisagree,
    /// Not a host name or address with an optional port.
    #[error("the host is not a valid host name")]
    HostInvalid,
    /// The connection was made for another host.
    #[error("this connection was made for another host")]
    Misdirected,
    /// More than 100 header lines.
    #[error("there are too many headers")]
    TooManyHeaders,
    /// Over `http.max_header_size`.
    #[error("the headers are too large")]
    HeadersTooLarge,
    /// A name of more than 256 bytes.
    #[error("a header name is too long")]
    HeaderNameTooLong,
    /// A name that some upstream reads as another that the gateway sets or acts on.
    #[error("a header name can be mistaken for a reserved one")]
    HeaderAlias,
    /// More than one line of a header that has one value, such as `Origin`.
    #[error("a header that must be single is doubled")]
    HeaderDoubled,
    /// Anything but exactly one `chunked`, or where no transfer coding may be.
    #[error("the transfer coding is not supported")]
    TransferEncoding,
    /// Doubled, or not a number.
    #[error("the content length is not valid")]
    ContentLength,
    /// Both ways of delimiting a body.
    #[error("the body's length is given twice")]
    LengthClash,
    /// A body in a request that asks for another protocol.
    #[error("a request to upgrade must not have a body")]
    UpgradeBody,
    /// A WebSocket handshake that breaks RFC 6455 §4.2.1.
    #[error("the websocket handshake is not valid")]
    WebSocketHandshake,
    /// Anything but `100-continue`.
    #[error("the expectation cannot be met")]
    Expect,
}

impl Rejection {
    /// Every rule, for tables and tests.
    pub const ALL: [Self; 27] = [
        Self::Method,
        Self::TargetForm,
        Self::Scheme,
        Self::TargetTooLong,
        Self::PathEncoding,
        Self::PathUtf8,
        Self::PathControl,
        Self::PathSlash,
        Self::PathBackslash,
        Self::PathDots,
        Self::PathDoubleEncoding,
        Self::HostMissing,
        Self::HostDoubled,
        Self::HostsDisagree,
        Self::HostInvalid,
        Self::Misdirected,
        Self::TooManyHeaders,
        Self::HeadersTooLarge,
        Self::HeaderNameTooLong,
        Self::HeaderAlias,
        Self::HeaderDoubled,
        Self::TransferEncoding,
        Self::ContentLength,
        Self::LengthClash,
        Self::UpgradeBody,
        Self::WebSocketHandshake,
        Self::Expect,
    ];

    /// The value of the `reason` label; never changes.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::TargetForm => "target-form",
            Self::Scheme => "scheme",
            Self::TargetTooLong => "target-too-long",
            Self::PathEncoding => "path-encoding",
            Self::PathUtf8 => "path-utf8",
            Self::PathControl => "path-control",
            Self::PathSlash => "path-slash",
            Self::PathBackslash => "path-backslash",
            Self::PathDots => "path-dots",
            Self::PathDoubleEncoding => "path-double-encoding",
            Self::HostMissing => "host-missing",
            Self::HostDoubled => "host-doubled",
            Self::HostsDisagree => "hosts-disagree",
            Self::HostInvalid => "host-invalid",
            Self::Misdirected => "misdirected",
            Self::TooManyHeaders => "too-many-headers",
            Self::HeadersTooLarge => "headers-too-large",
            Self::HeaderNameTooLong => "header-name-too-long",
            Self::HeaderAlias => "header-alias",
            Self::HeaderDoubled => "header-doubled",
            Self::TransferEncoding => "transfer-encoding",
            Self::ContentLength => "content-length",
            Self::LengthClash => "length-clash",
            Self::UpgradeBody => "upgrade-body",
            Self::WebSocketHandshake => "websocket-handshake",
            Self::Expect => "expect",
        }
    }

    /// What it is to the user.
    #[must_use]
    pub const fn kind(self) -> ErrorKind {
        match self {
            Self::Method => ErrorKind::MethodNotAllowed,
            Self::TargetTooLong | Self::TooManyHeaders | Self::HeadersTooLarge | Self::HeaderNameTooLong => {
                ErrorKind::TooLarge
            }
            Self::Misdirected => ErrorKind::Misdirected,
            Self::Expect => ErrorKind::ExpectationFailed,
            _ => ErrorKind::BadRequest,
        }
    }

    /// The status that it is answered with.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::TooManyHeaders | Self::HeadersTooLarge | Self::HeaderNameTooLong => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Expect => StatusCode::EXPECTATION_FAILED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}
