//! The state of an account as its entry tells it, for what servers do not check when somebody binds. Pure.

use super::entry::Entry;
use crate::identity::AccountTrouble;
use crate::model::Timestamp;

/// Attributes that say whether an account may be used. A server without them leaves them out.
pub(super) const ATTRIBUTES: [&str; 6] =
    ["userAccountControl", "accountExpires", "nsAccountLock", "loginDisabled", "pwdAccountLockedTime", "shadowExpire"];

/// The bit of a disabled account in Active Directory's `userAccountControl`.
const ACCOUNT_DISABLE: i64 = 0x2;
/// `pwdAccountLockedTime` of an account that an administrator locked for good.
const LOCKED_FOR_GOOD: &str = "000001010000Z";
/// Seconds from 1601-01-01, where Active Directory counts from, to 1970-01-01.
const FROM_1601: u64 = 11_644_473_600;
/// Active Directory counts in steps of 100 ns.
const STEPS_A_SECOND: u64 = 10_000_000;
const DAY: u64 = 24 * 60 * 60;

/// What stands against an account for good, or until somebody changes it.
///
/// A lock after wrong passwords is not among it: the server itself refuses binds while it holds, and anybody can bring
/// it about, who must not thereby end the sessions of those who are signed in.
pub(super) fn trouble(entry: &Entry, now: Timestamp) -> Option<AccountTrouble> {
    if is_disabled(entry) {
        return Some(AccountTrouble::Disabled);
    }
    if entry.value("pwdAccountLockedTime") == Some(LOCKED_FOR_GOOD) {
        return Some(AccountTrouble::Locked);
    }
    has_expired(entry, now.as_secs()).then_some(AccountTrouble::Expired)
}

fn is_disabled(entry: &Entry) -> bool {
    let says_yes = |name| entry.value(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let control = entry.value("userAccountControl").and_then(|value| value.parse::<i64>().ok()).unwrap_or(0);
    control & ACCOUNT_DISABLE != 0 || says_yes("nsAccountLock") || says_yes("loginDisabled")
}

fn has_expired(entry: &Entry, now: u64) -> bool {
    let number = |name| entry.value(name).and_then(|value| value.parse::<u64>().ok());
    // 0 and the largest number mean never; so do days that are not positive.
    let steps = number("accountExpires").filter(|steps| *steps != 0 && *steps < i64::MAX.unsigned_abs());
    let by_steps = steps.is_some_and(|steps| (steps / STEPS_A_SECOND).saturating_sub(FROM_1601) <= now);
    let days = number("shadowExpire").filter(|days| *days != 0);
    by_steps || days.is_some_and(|days| days.saturating_mul(DAY) <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_as_its_entry_says() {
        use AccountTrouble::{Disabled, Expired, Locked};
        // 2023-11-14T22:13:20Z, day 19675.
        let now = Timestamp::from_secs(1_700_000_000);
        let table: &[(&str, &str, Option<AccountTrouble>)] = &[
            ("userAccountControl", "512", None),
            ("userAccountControl", "514", Some(Disabled)),
            ("userAccountControl", "66050", Some(Disabled)),
            ("userAccountControl", "x", None),
            ("nsAccountLock", "TRUE", Some(Disabled)),
            ("nsAccountLock", "false", None),
            ("loginDisabled", "true", Some(Disabled)),
            ("pwdAccountLockedTime", "000001010000Z", Some(Locked)),
            ("pwdAccountLockedTime", "20231114221200Z", None),
            ("accountExpires", "0", None),
            ("accountExpires", "9223372036854775807", None),
            ("accountExpires", "133444736000000000", Some(Expired)),
            ("accountExpires", "133444736010000000", None),
            ("shadowExpire", "-1", None),
            ("shadowExpire", "0", None),
            ("shadowExpire", "19675", Some(Expired)),
            ("shadowExpire", "19676", None),
        ];
        for (name, value, expected) in table {
            let entry = Entry::of("uid=ada", &[(name, &[value])]);
            assert_eq!(trouble(&entry, now), *expected, "{name}: {value}");
        }
        assert_eq!(trouble(&Entry::of("uid=ada", &[]), now), None);
    }
}
