//! What the answer to somebody's bind means. Pure.
//!
//! Servers say why in three ways: the password policy's control (OpenLDAP, 389 Directory Server and others), a sub-code
//! in Active Directory's diagnostic text, and result codes of their own. Some tell of an account only to who knows its
//! password; what they tell anybody is [`Unproven`](SignInError::Unproven).

use ldap3::LdapResult;

use super::ber;
use super::connection::PASSWORD_POLICY;
use super::fault::{Fault, result};
use crate::identity::{AccountTrouble, SignInError};

/// Why a bind did not sign somebody in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is about them.
    Person(SignInError),
    /// It is about the directory.
    Directory(Fault),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Directory(fault)
    }
}

impl From<AccountTrouble> for Refused {
    fn from(trouble: AccountTrouble) -> Self {
        Self::Person(trouble.proven())
    }
}

/// Success, or what the refusal means. Only code 0 is success.
///
/// # Errors
/// Returns why it is none.
pub(super) fn of_bind(answer: &LdapResult) -> Result<(), Refused> {
    let policy = policy_error(answer);
    match answer.rc {
        // The password is right, and the server lets them do nothing but change it.
        0 if matches!(policy, Some(PolicyError::ChangeAfterReset)) => Err(AccountTrouble::PasswordMustChange.into()),
        0 => Ok(()),
        49 => Err(invalid_credentials(answer, policy)),
        // No password in the entry, or no such entry.
        32 | 48 => Err(Refused::Person(SignInError::WrongCredentials)),
        // 389 Directory Server: too many tries.
        19 => Err(unproven(AccountTrouble::Locked)),
        // 389 Directory Server: "Account inactivated".
        53 if answer.text.to_ascii_lowercase().contains("inactivated") => Err(unproven(AccountTrouble::Disabled)),
        53 if tells_of_a_lock(&answer.text) => Err(unproven(AccountTrouble::Locked)),
        code => Err(fault(code, &answer.text, "a bind").into()),
    }
}

/// What the answer to a bind under a made-up name says about the directory. A server that refuses every bind must be
/// called so for nobody as for somebody: otherwise the answer tells whether an account exists.
///
/// # Errors
/// Returns an error where the bind of somebody with this answer would be one of the directory.
pub(super) fn of_nobodys_bind(answer: &LdapResult) -> Result<(), Fault> {
    match of_bind(answer) {
        // invalidDNSyntax is about the name, which is ours.
        Err(Refused::Directory(fault)) if answer.rc != 34 => Err(fault),
        _ => Ok(()),
    }
}

/// What a result code other than 0 says about a directory, whoever asked.
pub(super) fn fault(code: u32, text: &str, operation: &str) -> Fault {
    match code {
        // timeLimitExceeded, adminLimitExceeded, busy, unavailable: it may be better in a moment.
        3 | 11 | 51 | 52 => Fault::Unreachable(format!("answers {operation} with {}", result(code, text))),
        // Not followed: the password would go to whomever the answer names.
        10 => Fault::Misconfigured(format!("answers {operation} with a referral to another server")),
        4 => Fault::Misconfigured(format!("answers {operation} in part: its own limit on results is too small")),
        8 | 13 => Fault::Misconfigured(format!("wants TLS ({})", result(code, text))),
        _ => Fault::Misconfigured(format!("answers {operation} with {}", result(code, text))),
    }
}

fn invalid_credentials(answer: &LdapResult, policy: Option<PolicyError>) -> Refused {
    match policy {
        Some(PolicyError::PasswordExpired) => AccountTrouble::PasswordExpired.into(),
        Some(PolicyError::ChangeAfterReset) => AccountTrouble::PasswordMustChange.into(),
        Some(PolicyError::AccountLocked) => unproven(AccountTrouble::Locked),
        None => by_sub_code(&answer.text),
    }
}

/// Active Directory gives 530 to 533, 701 and 773 only when the password is right, 775 always.
fn by_sub_code(text: &str) -> Refused {
    match sub_code(text) {
        // 530 and 531: not at this hour, not from here.
        Some(0x530 | 0x531 | 0x533) => AccountTrouble::Disabled.into(),
        Some(0x532) => AccountTrouble::PasswordExpired.into(),
        Some(0x701) => AccountTrouble::Expired.into(),
        Some(0x773) => AccountTrouble::PasswordMustChange.into(),
        Some(0x775) => unproven(AccountTrouble::Locked),
        _ => Refused::Person(SignInError::WrongCredentials),
    }
}

/// FreeIPA: "Too many failed logins.", "Entry permanently locked." A whole word, since what is blocked is not locked.
fn tells_of_a_lock(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("failed logins") || text.split(|c: char| !c.is_alphanumeric()).any(|word| word == "locked")
}

const fn unproven(trouble: AccountTrouble) -> Refused {
    Refused::Person(SignInError::Unproven(trouble))
}

/// The errors of the password policy's control that a bind can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PolicyError {
    PasswordExpired,
    AccountLocked,
    ChangeAfterReset,
}

fn policy_error(answer: &LdapResult) -> Option<PolicyError> {
    let control = answer.ctrls.iter().map(|control| &control.1).find(|control| control.ctype == PASSWORD_POLICY)?;
    match ber::password_policy_error(control.val.as_deref()?)? {
        0 => Some(PolicyError::PasswordExpired),
        1 => Some(PolicyError::AccountLocked),
        2 => Some(PolicyError::ChangeAfterReset),
        _ => None,
    }
}

/// Active Directory's reason: the hexadecimal number after `data` in
/// `80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data 52e, v2580`.
fn sub_code(text: &str) -> Option<u32> {
    let after = text.split_once("AcceptSecurityContext")?.1.split_once("data ")?.1;
    let digits = after.split(|c: char| !c.is_ascii_hexdigit()).next()?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use ldap3::controls::{Control, RawControl};

    use super::*;

    fn answer(rc: u32, text: &str, policy: Option<u8>) -> LdapResult {
        let control = |error| {
            let val = Some(vec![0x30, 3, 0x81, 1, error]);
            Control(None, RawControl { ctype: PASSWORD_POLICY.to_owned(), crit: false, val })
        };
        let ctrls = policy.map(control).into_iter().collect();
        LdapResult { rc, matched: String::new(), text: text.to_owned(), refs: vec![], ctrls }
    }

    fn label(refused: Result<(), Refused>) -> String {
        match refused {
            Ok(()) => "success".to_owned(),
            Err(Refused::Person(SignInError::Unproven(trouble))) => format!("unproven: {trouble}"),
            Err(Refused::Person(error)) => error.label().to_owned(),
            Err(Refused::Directory(fault)) => format!("{fault:?}"),
        }
    }

    #[test]
    fn every_answer_to_a_bind_has_its_meaning() {
        let ad = |data: &str| {
            format!("80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data {data}, v3839\0")
        };
        let table = [
            (answer(0, "", None), "success"),
            (answer(0, "", Some(2)), "password-must-change"),
            (answer(0, "", Some(7)), "success"),
            (answer(49, "", None), "wrong-credentials"),
            (answer(49, "", Some(0)), "password-expired"),
            (answer(49, "", Some(1)), "unproven: the account is locked"),
            (answer(49, &ad("52e"), None), "wrong-credentials"),
            (answer(49, &ad("525"), None), "wrong-credentials"),
            (answer(49, &ad("530"), None), "disabled"),
            (answer(49, &ad("531"), None), "disabled"),
            (answer(49, &ad("532"), None), "password-expired"),
            (answer(49, &ad("533"), None), "disabled"),
            (answer(49, &ad("701"), None), "expired"),
            (answer(49, &ad("773"), None), "password-must-change"),
            (answer(49, &ad("775"), None), "unproven: the account is locked"),
            (answer(49, "data 533", None), "wrong-credentials"),
            (answer(32, "", None), "wrong-credentials"),
            (answer(48, "", None), "wrong-credentials"),
            (answer(19, "Exceed password retry limit.", None), "unproven: the account is locked"),
            (
                answer(53, "Account inactivated. Contact system administrator.", None),
                "unproven: the account is disabled",
            ),
            (answer(53, "Too many failed logins.\n", None), "unproven: the account is locked"),
            (answer(53, "Entry permanently locked.\n", None), "unproven: the account is locked"),
            (answer(53, "blocked", None), r#"Misconfigured("answers a bind with result code 53, blocked")"#),
            (answer(53, "no", None), r#"Misconfigured("answers a bind with result code 53, no")"#),
            (answer(10, "", None), r#"Misconfigured("answers a bind with a referral to another server")"#),
            (answer(14, "", None), r#"Misconfigured("answers a bind with result code 14")"#),
            (answer(8, "", None), r#"Misconfigured("wants TLS (result code 8)")"#),
            (answer(51, "later\n", None), r#"Unreachable("answers a bind with result code 51, later")"#),
        ];
        for (answer, expected) in table {
            assert_eq!(label(of_bind(&answer)), expected, "{answer:?}");
        }
    }

    #[test]
    fn a_server_that_refuses_every_bind_is_called_so_for_nobody_as_for_somebody() {
        for code in [8, 10, 13, 50, 51, 53] {
            let answer = answer(code, "", None);
            let somebody = of_bind(&answer).expect_err("refused");
            assert_eq!(of_nobodys_bind(&answer).map_err(Refused::Directory), Err(somebody), "{code}");
        }
        for code in [0, 19, 32, 34, 48, 49] {
            assert_eq!(of_nobodys_bind(&answer(code, "", None)), Ok(()), "{code}");
        }
        for text in ["Account inactivated.", "Too many failed logins."] {
            assert_eq!(of_nobodys_bind(&answer(53, text, None)), Ok(()), "{text}");
        }
    }
}
