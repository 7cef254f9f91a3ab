//! What is not there is skipped with a word, and in CI it is a failure.

use std::path::PathBuf;

/// Where Debian keeps what is meant for administrators; it is not on everybody's `PATH`.
const PLACES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The program of this name.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let places = PLACES.iter().map(|place| PathBuf::from(place).join(name));
    places.into_iter().find(|path| path.is_file())
}

/// Says that a test is skipped for want of something.
///
/// # Panics
/// Panics in CI.
#[expect(clippy::print_stderr, reason = "who reads that a test passed has to read that it did nothing")]
pub(crate) fn skip<T>(what: &str) -> Option<T> {
    let in_ci = std::env::var_os("CI").is_some_and(|ci| ci == "true" || ci == "1");
    assert!(!in_ci, "{what}, and in CI it must be there");
    eprintln!("skipped: {what}; `./dev test` installs what is missing");
    None
}
