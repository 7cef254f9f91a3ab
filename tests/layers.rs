//! Holds the layer table of ARCHITECTURE.md against the imports of the code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Module to layer, as ARCHITECTURE.md says.
fn table() -> BTreeMap<String, u32> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    text.lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            let layer = cells.next()?.parse().ok()?;
            let module = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
            Some((module.to_owned(), layer))
        })
        .collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("source folder is readable") {
        let path = entry.expect("entry is readable").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The top-level module that a file belongs to, and the top-level modules that it names after `crate::`.
fn imports(file: &Path) -> (String, Vec<String>) {
    let below = file.strip_prefix(root().join("src")).expect("is below src");
    let first = below.components().next().expect("has a name").as_os_str().to_string_lossy();
    let module = first.trim_end_matches(".rs").to_owned();
    let text = std::fs::read_to_string(file).expect("source is UTF-8");
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let named = code
        .split("crate::")
        .skip(1)
        .flat_map(|rest| match rest.strip_prefix('{') {
            // `use crate::{a, b::c};` does not occur with nested groups at the top level.
            Some(group) => group.split('}').next().unwrap_or_default().split(',').map(first_word).collect(),
            None => vec![first_word(rest)],
        })
        .filter(|name| !name.is_empty())
        .collect();
    (module, named)
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

#[test]
fn every_module_stands_in_the_table_and_every_row_has_a_module() {
    let table = table();
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).expect("lib.rs is there");
    let modules: Vec<_> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_owned).collect();
    assert!(!modules.is_empty());
    for module in &modules {
        assert!(table.contains_key(module), "ARCHITECTURE.md has no layer for module {module}");
    }
    for module in table.keys() {
        assert!(modules.contains(module), "ARCHITECTURE.md lists {module}, which src/lib.rs lacks");
    }
}

#[test]
fn imports_only_point_down() {
    let table = table();
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let (module, named) = imports(&file);
        let Some(own) = table.get(&module) else { continue };
        for other in named.iter().filter(|other| **other != module) {
            match table.get(other) {
                Some(layer) if layer < own => {}
                Some(layer) => {
                    wrong.push(format!("{} (layer {own}) imports {other} (layer {layer})", file.display()));
                }
                // A macro or a re-export of the crate's root.
                None => {}
            }
        }
    }
    assert!(wrong.is_empty(), "imports that run upward:\n{}", wrong.join("\n"));
}
