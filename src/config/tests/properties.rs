//! Whatever stands in the files, loading them ends with a report or a configuration.

use proptest::prelude::*;

use super::{Folder, SMALLEST, repository};
use crate::config::users_file;

/// A text with some of its bytes replaced, taken out or doubled.
fn mutated(text: String) -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..6);
    edits.prop_map(move |edits| {
        let mut bytes = text.clone().into_bytes();
        for (at, byte, edit) in edits {
            let at = at.index(bytes.len());
            match edit {
                0 => bytes[at] = byte,
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, b":[]{}-#&*!|>'\"%@`, \n"[usize::from(byte) % 20]),
                _ => bytes.truncate(at.max(1)),
            }
        }
        bytes
    })
}

fn sample() -> String {
    std::fs::read_to_string(repository().join("config/usher.yaml")).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_load_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("any.yaml");
        std::fs::write(&path, bytes).unwrap();
        let _ = crate::config::load(&path);
        let _ = users_file::load(&path);
    }

    #[test]
    fn a_damaged_sample_loads_or_is_refused(bytes in mutated(sample())) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("usher.yaml");
        std::fs::write(&path, bytes).unwrap();
        // Its files do not exist, so it is refused whatever the damage.
        let report = crate::config::load(&path).unwrap_err();
        prop_assert!(!report.problems.is_empty());
    }
}

#[test]
fn a_damaged_configuration_whose_files_exist_loads_or_is_refused() {
    let folder = Folder::new();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(96));
    let done = runner.run(&mutated(SMALLEST.to_owned()), |bytes| {
        let _ = crate::config::load(&folder.write("usher.yaml", &bytes));
        Ok(())
    });
    assert!(done.is_ok(), "{done:?}");
}
